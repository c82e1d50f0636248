"""Data sets that users upload: the facts that the server gives of one, and the form of its id."""

import re
from datetime import datetime
from typing import Literal

from pydantic import Field

from windtunnel.types.base import Response
from windtunnel.types.tasks import TaskInfo

DatasetFormat = Literal["npz", "csv", "parquet", "text", "tokens"]
DatasetDelimiter = Literal["comma", "semicolon", "tab", "bar"]
DatasetDecimal = Literal["point", "comma"]

DATASET_ID = re.compile("ds_[0-9a-z]{26}")
"""Pattern of the id of a data set. A job names it as its task."""


def is_dataset(task: str) -> bool:
    """Whether a job's task is the id of an uploaded data set."""
    return DATASET_ID.fullmatch(task) is not None


class Scaling(Response):
    """Means and deviations that standardise inputs and targets, ``(value - mean) / deviation``; from the training part.

    Take the difference in double precision, and cast the result: single precision loses what lies on a large offset.
    """

    mean: list[float]
    """Mean of each feature of a table; one number for all pixels of an image."""
    deviation: list[float]
    """Standard deviations, as many as means."""
    target_mean: float | None = None
    """Mean of a regression's target; its losses are of the standardised target. None for other tasks."""
    target_deviation: float | None = None
    """Standard deviation of a regression's target; None for other tasks."""


class Dataset(Response):
    """One data set, as ``GET /v1/datasets/{dataset_id}`` gives it."""

    id: str
    name: str
    file: str
    """Name of the file that was uploaded."""
    format: DatasetFormat
    bytes: int
    """Size of the uploaded file."""
    stored_bytes: int = 0
    """Bytes that the server stores of it, which count towards the owner's limit; 0 where an older version stored it."""
    sha256: str
    """SHA-256 of the stored data; the provenance of every job on the data set repeats it."""
    sample_sha256: str | None = None
    """SHA-256 of the size of a stream and of 4,096 pieces of 16 KiB spread over it, which workers check before they train;
    None for other data, of which they check the whole."""
    columns: list[str]
    """Names of the features of a table, in order; empty for anything else, and in lists."""
    ignored_columns: list[str] = Field(default_factory=list)
    """Columns of the file that were left aside: row labels that pandas wrote into a parquet file."""
    target: str | None
    """The column that is learned."""
    task: TaskInfo
    """Facts of the task: kind, shapes, classes, sizes of the three parts, families that can learn it."""
    scaling: Scaling | None = None
    """Standardisation of the data; None for text, and in lists."""
    created_at: datetime
