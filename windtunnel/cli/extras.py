"""Which optional parts of the distribution are installed, by its own metadata."""

import re
from importlib import metadata

from windtunnel.cli.exits import SetupError

DISTRIBUTION = "windtunnel"
_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)[^;]*(?:;.*\bextra\s*==\s*['\"](?P<extra>[^'\"]+)['\"])?")


def requirements() -> dict[str, list[str]]:
    """Extra -> names of the distributions it asks for; the plain install under the name ``""``.

    Raises:
        SetupError: windtunnel runs from a folder without being installed.
    """
    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError as error:
        raise SetupError(
            "windtunnel is not installed, only lying in this folder; install it with: pip install -e ."
        ) from error
    found: dict[str, list[str]] = {}
    for requirement in declared:
        match = _REQUIREMENT.match(requirement)
        if match is not None:
            found.setdefault(match["extra"] or "", []).append(match["name"])
    return found


def missing(extra: str) -> list[str]:
    """Distributions that an extra asks for and that are not installed."""
    return [name for name in requirements().get(extra, []) if not _installed(name)]


def need(command: str, *extras: str, otherwise: str = "") -> None:
    """Check that extras are installed.

    Args:
        command: what needs them, for the message.
        extras: their names.
        otherwise: what can be done without them.

    Raises:
        SetupError: naming what is missing and how to install it.
    """
    absent = [name for extra in extras for name in missing(extra)]
    if absent:
        raise SetupError(
            f"`windtunnel {command}` needs {', '.join(dict.fromkeys(absent))}, which are not installed. "
            f"Install them with: pip install '{DISTRIBUTION}[{','.join(extras)}]'{otherwise}"
        )


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
