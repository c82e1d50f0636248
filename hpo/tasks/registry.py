"""Loads a task's data: its three parts, checked against what is known of the task."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import torch

from hpo.errors import InvalidData
from hpo.tasks import images, synthetic, tables
from hpo.tasks.pooled import Pooled
from hpo.tasks.python_text import python_text
from hpo.tasks.split import Parts, Split, TrainingPart
from hpo.tasks.user import user_parts
from windtunnel.tasks import TASKS
from windtunnel.tasks.user import user_task
from windtunnel.types import JobSpec
from windtunnel.types.datasets import is_dataset
from windtunnel.types.tasks import BUILT_IN, TaskInfo, UnknownTask

READERS: dict[str, Callable[[TaskInfo], Parts]] = {
    "digits": Pooled(images.digits, per_feature=False),
    "mnist5k": Pooled(images.mnist5k, per_feature=False),
    "breast-cancer": Pooled(tables.breast_cancer, per_feature=True),
    "diabetes": Pooled(tables.diabetes, per_feature=True),
    "python-text": python_text,
    "synthetic": Pooled(synthetic.teacher, per_feature=False),
}
"""Name of a built-in task -> function that reads its three parts."""


@dataclass(frozen=True)
class TaskData:
    """A data set in three parts that share no example."""

    name: str
    train: TrainingPart
    validation: Split
    test: Split
    classes: int
    sha256: str
    """Digest of inputs and labels after splitting and scaling."""

    @property
    def parts(self) -> Parts:
        """Training, validation and test part in memory, to look at: of a training part that is large, a sample."""
        return self.train.sample(), self.validation, self.test

    def on(self, device: torch.device) -> "TaskData":
        """The data set on a device, where every training run on it takes place."""
        return replace(self, train=self.train.on(device), validation=self.validation.on(device), test=self.test.on(device))

    @property
    def features(self) -> int:
        """Number of features of an example; for text, of its tokens."""
        return prod(self.train.shape)


def data_of(spec: JobSpec) -> TaskData:
    """Load the data of a job's task.

    Raises:
        InvalidData: the task is not here, its data are on a server, or the source is not what is known of the task.
    """
    try:
        return _load(spec.info)
    except UnknownTask as error:
        raise _absent(spec.task, error) from error


def load(name: str) -> TaskData:
    """The data of a built-in or installed task; a built-in task is loaded once per process.

    Raises:
        InvalidData: the name is unknown, or the data differ from the catalogue's description.
    """
    try:
        return _load(TASKS[name])
    except UnknownTask as error:
        raise _absent(name, error) from error


def _load(task: TaskInfo) -> TaskData:
    """Load a task by its facts; the same call for a built-in one in the same process gives the same object.

    Raises:
        InvalidData: its data are on a server, or the source is not what the facts say.
    """
    if task.name in READERS:
        return load_built_in(task.name)
    if is_dataset(task.name):
        raise _elsewhere(task.name)
    try:
        own = user_task(task)
    except LookupError as error:
        raise InvalidData(str(error), "install it on every worker, or hand the data over") from error
    return _with_digest(task, user_parts(own, task))


def _absent(name: str, error: UnknownTask) -> InvalidData:
    if is_dataset(name):
        return _elsewhere(name)
    known = f"allowed: {', '.join(sorted(TASKS))}; a package that brings a task must be installed on every worker"
    return InvalidData(str(error), known)


def _elsewhere(name: str) -> InvalidData:
    return InvalidData(
        f"{name!r} is a data set that was uploaded to a server", "submit the job there: its workers have the data"
    )


@functools.lru_cache(maxsize=8)
def load_built_in(name: str) -> TaskData:
    """The data of a built-in task, kept for the process.

    Raises:
        InvalidData: the data differ from the catalogue's description.
    """
    return _with_digest(BUILT_IN[name], READERS[name](BUILT_IN[name]))


def _with_digest(info: TaskInfo, parts: Parts) -> TaskData:
    """Task data made of the three parts, with their digest."""
    train, validation, test = parts
    digest = hashlib.sha256()
    for split in (train, validation, test):
        digest.update(split.inputs.numpy().tobytes())
        digest.update(split.labels.numpy().tobytes())
    return TaskData(info.name, train, validation, test, info.classes, digest.hexdigest())
