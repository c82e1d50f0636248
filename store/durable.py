"""What has been written stays written when the machine goes down."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Have the disk hold a file's content, or a folder's names, before this returns.

    Raises:
        OSError: it cannot be read, or the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
