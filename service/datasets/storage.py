"""Puts data sets into the data folder and takes them out: written aside, renamed into place under the row's lock."""

import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.datasets.options import Upload, file_name
from service.datasets.reading import read
from service.settings import ServiceSettings
from store import datasets
from store.database import Database
from store.files import FILE, FOLDER, digest, flush, path_of
from store.identifiers import dataset_id
from windtunnel.types import Dataset

ASIDE = ".aside-"
"""Name of a folder that is no data set yet, or no more, begins with this."""
STALE = 3600.0
"""Seconds after which such a folder is one that a killed server left."""


def store(database: Database, settings: ServiceSettings, owner: str, upload: Upload) -> tuple[Dataset, bool]:
    """Read an uploaded file and keep what is in it; (the data set, True where the owner did not have it already).

    Args:
        database: for the row.
        settings: data folder and limits.
        owner: whose it is.
        upload: the file.

    Raises:
        ProblemError: the file is bad or too large.
        TooManyDatasets: the owner has as many as are allowed.
        DatasetsTooLarge: the owner's data sets would take more room than is allowed.
    """
    with _aside(settings.data_dir / FOLDER) as folder:
        known = read(upload, folder, settings)
        size = sum(file.stat().st_size for file in folder.iterdir())
        dataset = _described(known | {"stored_bytes": size}, owner, upload)
        place = settings.data_dir / path_of(dataset.id)
        broken = not _intact(place / FILE, dataset.sha256)
        with database.transaction() as session:
            most = settings.max_datasets_bytes
            kept, fresh = datasets.keep(session, dataset, owner=owner, limit=settings.max_datasets, most_bytes=most)
            if fresh or broken:  # who sends a file again may want to mend what was damaged or lost
                shutil.rmtree(place, ignore_errors=True)
                folder.rename(place)
                flush(place.parent)
        return kept, fresh


def remove(database: Database, settings: ServiceSettings, owner: str, dataset_id: str) -> None:
    """Delete a data set and its files.

    Raises:
        DatasetNotFound: the owner has none of that id.
        DatasetInUse: a job that has not ended reads it.
    """
    place = settings.data_dir / path_of(dataset_id)
    with _aside(place.parent) as folder:
        moved = folder / dataset_id
        try:
            with database.transaction() as session:
                datasets.delete(session, dataset_id, owner=owner)
                with contextlib.suppress(FileNotFoundError):
                    place.rename(moved)
        except BaseException:
            if moved.exists():  # the database did not take it: the data set is still there
                moved.rename(place)
            raise
        flush(place.parent)


def _intact(path: Path, sha256: str) -> bool:
    try:
        return digest(path) == sha256
    except OSError:
        return False


@contextlib.contextmanager
def _aside(parent: Path) -> Iterator[Path]:
    """A folder beside the data sets that is gone when the block is left, unless it was renamed; old ones go, too."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{ASIDE}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)
    folder = parent.absolute() / f"{ASIDE}{secrets.token_hex(8)}"
    folder.mkdir()  # with the rights of all else in the data folder: workers may run as another user
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _described(known: dict[str, Any], owner: str, upload: Upload) -> Dataset:
    shown, identity = file_name(upload.name), dataset_id(owner, known["sha256"])
    name = upload.options.name or shown.rpartition(".")[0] or shown or upload.kind
    source = f"uploaded file '{shown}'" if shown else "an uploaded file"
    return Dataset.model_validate(
        {
            **known,
            "id": identity,
            "name": name,
            "file": shown,
            "format": upload.kind,
            "bytes": upload.size,
            "task": {**known["task"], "name": identity, "title": name, "source": source},
            "created_at": datetime.now(UTC),
        }
    )
