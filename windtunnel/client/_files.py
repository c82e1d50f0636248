"""A file that is whole or not there: written aside, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from windtunnel.client._errors import InvalidRequest


def place_of(target: str | os.PathLike[str], name: str) -> Path:
    """Where to write: the file named, or one of this name in the folder named."""
    path = Path(target).expanduser()
    return path / name if path.is_dir() else path


@contextmanager
def written_aside(target: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of ``target`` when the block ends, and is gone where it fails.

    Raises:
        InvalidRequest: it cannot be written there.
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
