"""Files below the data folder: where those of an uploaded data set lie, their digest, and how any file stays written."""

import hashlib
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger("windtunnel.store")

FOLDER = "datasets"
"""Name of the folder, below the data folder, that has a folder for each data set, named by its id."""
FILE, MANIFEST = "data.safetensors", "manifest.json"
"""Names of the files in a data set's folder: its arrays, and the description of them."""
CHUNK = 1 << 20
"""Bytes read at once to make a digest."""
PIECE, PIECES = 1 << 14, 1 << 12
"""Bytes of a piece of a large file that stands for the whole, and number of such pieces."""


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


def sampled_digest(path: Path) -> str:
    """SHA-256 of a file's size and of 4,096 pieces of 16 KiB at equal distances; of up to 64 MiB, it covers every byte.

    It finds a file that was cut off, replaced or lost, in the time of reading 64 MiB.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    made = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(PIECES):
            start = number * max(size - PIECE, 0) // (PIECES - 1) if size > PIECES * PIECE else number * PIECE
            file.seek(start)
            made.update(file.read(PIECE))
    return made.hexdigest()


def remove_job_files(data_dir: Path, job_id: str) -> None:
    """Remove the checkpoints of a job that was deleted; what cannot be removed is told in the log and stays."""
    folder = data_dir / "jobs" / job_id
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("the files of deleted job %s stay in %s: %s", job_id, folder, error)


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
