"""Files below the data folder: where those of an uploaded data set lie, their digest, and how any file stays written."""

import hashlib
import os
from pathlib import Path

FOLDER = "datasets"
"""Below the data folder: a folder for each data set, named by its id."""
FILE, MANIFEST = "data.safetensors", "manifest.json"
"""In the folder of a data set: its arrays, and what is known of them."""
CHUNK = 1 << 20


def path_of(dataset_id: str) -> str:
    """Folder of a data set, relative to the data folder, with forward slashes."""
    return f"{FOLDER}/{dataset_id}"


def digest(path: Path) -> str:
    """SHA-256 of a file. Raises OSError."""
    made = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            made.update(chunk)
    return made.hexdigest()


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
