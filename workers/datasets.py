"""Reads the uploaded data set of a job from the shared data folder, and checks that it is the one that was stored."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from hpo.errors import InvalidData
from hpo.tasks import TaskData
from hpo.tasks.uploaded import uploaded
from store import held_jobs
from store.database import Database
from store.errors import DatasetNotFound
from store.files import FILE, digest, path_of
from store.leases import Lease
from windtunnel.types import Dataset, JobSpec, is_dataset


def data_of(spec: JobSpec, database: Database, lease: Lease, data_dir: Path) -> TaskData | None:
    """The data of a job whose task is an uploaded data set; None for any other, whose task says where its data are.

    Raises:
        InvalidData: the files are not there, or are not those that were stored.
        LeaseLost: the job is no longer ours.
    """
    if not is_dataset(spec.task):
        return None
    try:
        with database.snapshot() as session:
            dataset = held_jobs.dataset(session, lease)
    except DatasetNotFound as error:
        raise InvalidData(error.message, "upload the file again, and submit the job with the id that comes back") from error
    return read(dataset, data_dir)


def read(dataset: Dataset, data_dir: Path) -> TaskData:
    """Data of an uploaded data set from its files below the data folder. Raises InvalidData."""
    path = data_dir.absolute() / path_of(dataset.id) / FILE
    try:
        found = digest(path)
        if found != dataset.sha256:
            raise InvalidData(
                f"data set {dataset.id!r} at {path} has SHA-256 {found}, expected {dataset.sha256}: the file is damaged",
                "upload the file again: that mends it",
            )
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InvalidData(
            f"data set {dataset.id!r} cannot be read at {path}: {error}",
            "workers share the data folder of the server (WINDTUNNEL_DATA_DIR); if it is shared, upload the file again",
        ) from error
    return uploaded(dataset, arrays)
