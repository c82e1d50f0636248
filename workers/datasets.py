"""Reads the uploaded data set of a job from the shared data folder, and checks that it is the one that was stored."""

import json
import struct
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from hpo.errors import InvalidData
from hpo.tasks import TaskData
from hpo.tasks.uploaded import uploaded, uploaded_stream
from store import held_jobs
from store.database import Database
from store.errors import DatasetNotFound
from store.files import FILE, digest, path_of, sampled_digest
from store.leases import Lease
from windtunnel.token_files import TokenArray
from windtunnel.token_rows import TokensOnDisk
from windtunnel.types import Dataset, JobSpec, TaskInfo, is_dataset


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
    return read(dataset, spec.info, data_dir)


def read(dataset: Dataset, info: TaskInfo, data_dir: Path) -> TaskData:
    """Data of an uploaded data set from its files below the data folder; those of a stream stay where they lie.

    Args:
        dataset: description of the data set.
        info: facts of the task as the job has it.
        data_dir: the data folder.

    Raises:
        InvalidData: the files are not there, or are not those that were stored.
    """
    path = data_dir.absolute() / path_of(dataset.id) / FILE
    try:
        streamed = dataset.sample_sha256 is not None
        found, expected = (sampled_digest(path), dataset.sample_sha256) if streamed else (digest(path), dataset.sha256)
        if found != expected:
            raise InvalidData(
                f"data set {dataset.id!r} at {path} has SHA-256 {found}, expected {expected}: the file is damaged",
                "upload the file again: that mends it",
            )
        if streamed:
            return uploaded_stream(dataset, info, tokens_of(path))
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InvalidData(
            f"data set {dataset.id!r} cannot be read at {path}: {error}",
            "workers share the data folder of the server (WINDTUNNEL_DATA_DIR); if it is shared, upload the file again",
        ) from error
    return uploaded(dataset, arrays)


def tokens_of(path: Path) -> TokensOnDisk:
    """The tokens of a stream where they lie; each window is read when it is trained on.

    Raises:
        OSError: the file cannot be read.
        SafetensorError: it is no such file.
    """
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        try:
            told = json.loads(file.read(length))["tokens"]
        except (ValueError, KeyError) as error:
            raise SafetensorError(f"it has no tokens: {error}") from error
    size = int(told["dtype"].removeprefix("U")) // 8
    return TokensOnDisk(path, TokenArray(8 + length, f"<u{size}", told["shape"][0]))
