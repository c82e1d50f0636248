"""Finds out from the distribution's metadata which of its extras are installed."""

import re
from importlib import metadata

from windtunnel.cli.exits import SetupError

DISTRIBUTION = "windtunnel"
_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)[^;]*(?:;.*\bextra\s*==\s*['\"](?P<extra>[^'\"]+)['\"])?")


def requirements() -> dict[str, list[str]]:
    """Extra -> names of the distributions that it requires; ``""`` has those of the plain install.

    Raises:
        SetupError: windtunnel runs from a folder and is not installed.
    """
    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError as error:
        raise SetupError(
            "windtunnel runs from this folder without being installed; install it with: pip install -e ."
        ) from error
    found: dict[str, list[str]] = {}
    for requirement in declared:
        match = _REQUIREMENT.match(requirement)
        if match is not None:
            found.setdefault(match["extra"] or "", []).append(match["name"])
    return found


def missing(extra: str) -> list[str]:
    """Distributions that an extra requires and that are not installed."""
    return [name for name in requirements().get(extra, []) if not _installed(name)]


def need(command: str, *extras: str, otherwise: str = "") -> None:
    """Check that extras are installed.

    Args:
        command: command that needs them, for the message.
        extras: names of the extras.
        otherwise: alternative that needs no extras, appended to the message.

    Raises:
        SetupError: an extra is missing; the message names its packages and how to install them.
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
