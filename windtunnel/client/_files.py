"""Writes a file so that it is complete or absent: to a temporary file first, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from windtunnel.client._errors import InvalidRequest


def place_of(target: str | os.PathLike[str], name: str) -> Path:
    """Path to write to: ``target`` itself, or the file ``name`` in it if ``target`` is a folder."""
    path = Path(target).expanduser()
    return path / name if path.is_dir() else path


@contextmanager
def written_aside(target: Path) -> Iterator[BinaryIO]:
    """A temporary file that replaces ``target`` when the block ends, and is deleted if the block fails.

    Raises:
        InvalidRequest: the file cannot be written there.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        aside = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            # mkstemp makes files that only their owner reads; a download is like any other file of the user's.
            mask = os.umask(0)
            os.umask(mask)
            aside.chmod(0o666 & ~mask)
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidRequest(
            f"cannot write {target}: {error.strerror or error}; name a file in a folder that is there"
        ) from error
