"""Coordinate checks for values that were given: a process of their own runs them, where torch is installed."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from service.problems.answers import problem
from service.settings import ServiceSettings
from store.settings import PREFIX
from windtunnel.types import CoordinateCheck, Dataset, JobSpec

PACKAGES = Path(__file__).absolute().parents[2]
"""Folder of this package and its neighbours."""
NEEDED = ("torch", "workers")


def can_check() -> bool:
    """Whether coordinate checks can be run beside this server."""
    return all(find_spec(name) is not None for name in NEEDED)


def checked(
    spec: JobSpec, values: Mapping[str, float], dataset: Dataset | None, settings: ServiceSettings
) -> tuple[CoordinateCheck | None, str]:
    """(coordinate check of a small model, digest of the data that it used); (None, "") where torch is not installed.

    Raises:
        ProblemError: 409, the task's module or data cannot be used, or the check takes too long.
        RuntimeError: the process does not work here.
    """
    if not can_check():
        return None, ""
    order = {
        "spec": spec.model_dump(mode="json"),
        "values": dict(values),
        "dataset": None if dataset is None else dataset.model_dump(mode="json"),
        "data_dir": str(settings.data_dir),
    }
    done = _run(order, settings.check_seconds)
    match done:
        case {"check": dict(check), "data_sha256": str(digest)}:
            return CoordinateCheck.model_validate(check), digest
        case {"refused": str(reason)}:
            raise _refused(f"the coordinate check cannot be run: {reason}")
        case _:
            raise RuntimeError(f"the process of a coordinate check gave {str(done)[:200]!r}")


def _run(order: dict[str, Any], seconds: float) -> object:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "workers.checking"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            start_new_session=True,
            env={**_plain(os.environ), "PYTHONPATH": _paths(), "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(
            f"the coordinate check took more than the {seconds:g} s that are allowed; carry a smaller model, or on your "
            f"own machine: windtunnel carry VALUES; the server gives more by {PREFIX}CHECK_SECONDS"
        ) from error
    if done.returncode != 0:
        raise RuntimeError(f"the process of a coordinate check does not work here: {done.stderr[-1000:]}")
    return json.loads(done.stdout)


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the addresses and passwords of this server."""
    return {name: value for name, value in environment.items() if not name.startswith(PREFIX)}


def _paths() -> str:
    """Folders of modules: these packages', and those that brought the tasks of this server."""
    return os.pathsep.join(dict.fromkeys([str(PACKAGES), *(path for path in sys.path if path)]))


def _refused(detail: str) -> Exception:
    return problem(409, "transfer-refused", "The transfer cannot be trusted", detail)
