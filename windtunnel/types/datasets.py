"""Data sets that users upload: what the server knows of one, and the name by which a job asks for it."""

import re
from datetime import datetime
from typing import Literal

from windtunnel.types.base import Response
from windtunnel.types.tasks import TaskInfo

DatasetFormat = Literal["npz", "csv", "parquet", "text"]

DATASET_ID = re.compile("ds_[0-9a-z]{26}")
"""What the id of a data set looks like. A job names it as its task."""


def is_dataset(task: str) -> bool:
    """Does a job's task name a data set that somebody uploaded?"""
    return DATASET_ID.fullmatch(task) is not None


class Scaling(Response):
    """What inputs and targets are standardised by, ``(value - mean) / deviation``: fitted on the training part alone."""

    mean: list[float]
    """Of each feature of a table; one number for all pixels of an image."""
    deviation: list[float]
    target_mean: float | None = None
    """Of the target of a regression, whose losses are those of the standardised target."""
    target_deviation: float | None = None


class Dataset(Response):
    """One data set, as ``GET /v1/datasets/{dataset_id}`` gives it."""

    id: str
    name: str
    file: str
    """Name of the file that was uploaded."""
    format: DatasetFormat
    bytes: int
    """Size of that file."""
    stored_bytes: int = 0
    """Size of what the server keeps of it, which counts towards the owner's limit; 0 in one that an older version kept."""
    sha256: str
    """Of the stored data, which the provenance of every job on it repeats."""
    columns: list[str]
    """Names of the features of a table, in order; empty for anything else, and in lists."""
    target: str | None
    """The column that is learned."""
    task: TaskInfo
    """Kind, shapes, classes, sizes of the three parts, families that can learn it."""
    scaling: Scaling | None = None
    """None for text, and in lists."""
    created_at: datetime
