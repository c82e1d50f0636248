"""Reading of an uploaded file by a child process, and the refusals that this may end in."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from service.datasets.errors import BadData
from service.datasets.options import DECIMALS, DELIMITERS, Upload
from service.problems.answers import ProblemError, problem
from service.problems.values import presentable
from service.settings import ServiceSettings
from store.settings import PREFIX
from windtunnel.token_files import ENDINGS
from windtunnel.types import FieldError

log = logging.getLogger("windtunnel.service")

PACKAGES = Path(__file__).absolute().parents[2]
"""Folder of this package and its neighbours."""
UNPACKED = 4
"""Bytes of arrays for each byte that a file may have: compression is good for little more on numbers."""
STREAMED = 2**26
"""Bytes of a file for which the process that reads it gets one more second: a stream may be as long as its limit allows."""
HEADER = 2**20
"""Bytes that the stored form of a file may have beside its content."""
INHERITED = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""Variables that the process gets, so that it starts; the addresses of databases and their passwords are none of them."""


def read(upload: Upload, folder: Path, settings: ServiceSettings) -> dict[str, Any]:
    """Description of the data in a file, whose normal form then lies in ``folder``.

    Args:
        upload: the file.
        folder: empty.
        settings: the limits.

    Raises:
        ProblemError: it is bad, or takes more than it may.
        RuntimeError: no file can be read here.
    """
    upload.file.seek(0)
    size = upload.size
    seconds = settings.dataset_seconds + size // STREAMED
    order = {
        "format": upload.kind,
        "target": upload.options.target,
        "kind": upload.options.kind,
        "delimiter": DELIMITERS[upload.options.delimiter] if upload.options.delimiter else None,
        "decimal": DECIMALS[upload.options.decimal] if upload.options.decimal else None,
        "tabs": upload.name.lower().endswith(".tsv"),
        "context": upload.options.context,
        "dtype": upload.options.dtype,
        "vocabulary": upload.options.vocabulary,
        "tokens": ENDINGS.get(PurePosixPath(upload.name).suffix.lower(), "bin"),
        "descriptor": upload.file.fileno(),
        "folder": str(folder),
        "memory": settings.dataset_memory,
        "seconds": seconds,
        "most_bytes": max(UNPACKED * settings.max_dataset_bytes, size + HEADER),
    }
    done = _run(order, seconds)
    match done:
        case {"known": dict(known)}:
            return known
        case {"no_space": int(number)}:
            raise OSError(number, os.strerror(number))
        case {"too_large": str(message)}:
            raise too_large(message)
        case {"bad": {"pointer": str(pointer), "message": str(message), "given": given}}:
            raise bad(BadData(message, pointer, given))
        case _:
            raise bad(BadData(f"the file cannot be read as {upload.kind}: the process that read it broke down over it"))


def _run(order: dict[str, Any], seconds: int) -> object:
    """The child's answer; None where the file broke it.

    Raises:
        ProblemError: it took too long.
        RuntimeError: it cannot work, whatever the file.
    """
    descriptor: int = order["descriptor"]
    slow = f"reading the file took more than the {seconds} s that are allowed"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "service.datasets.child"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            pass_fds=(descriptor,),
            start_new_session=True,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise too_large(slow) from error
    if done.returncode in (-9, -24):  # killed for its processor time
        raise too_large(slow)
    if done.returncode < 0:
        log.warning("reading an uploaded %s ended by signal %d: %s", order["format"], -done.returncode, done.stderr[-1000:])
        return None
    if done.returncode > 0:
        raise RuntimeError(f"the process that reads uploaded files does not work here: {done.stderr[-1000:]}")
    return json.loads(done.stdout)


def _environment() -> dict[str, str]:
    """Environment variables that the process needs to start, whatever the folder it starts in."""
    return {
        **{name: os.environ[name] for name in INHERITED if name in os.environ},
        "PYTHONPATH": str(PACKAGES),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }


def bad(error: BadData) -> ProblemError:
    """422 for a file, or an option, that cannot be used."""
    field = FieldError(pointer=error.pointer, message=error.message, given=presentable(error.given))
    return problem(422, "invalid-dataset", "The data set is not valid", error.message, [field])


def too_large(message: str) -> ProblemError:
    """413 for a file that takes more to read than it may."""
    advice = (
        f"{message}; send fewer rows, or let the server give more: {PREFIX}MAX_DATASET_BYTES, {PREFIX}DATASET_MEMORY, "
        f"{PREFIX}DATASET_SECONDS"
    )
    return problem(
        413,
        "dataset-too-large",
        "The data set is too large",
        advice,
        [FieldError(pointer="/file", message=message)],
    )
