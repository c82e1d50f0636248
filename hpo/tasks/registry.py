"""Loads a task by name: its three parts, checked against the catalogue."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from hpo.errors import InvalidData
from hpo.tasks import images, synthetic, tables
from hpo.tasks.pooled import Pooled
from hpo.tasks.python_text import python_text
from hpo.tasks.split import Parts, Split
from hpo.tasks.user import user_parts
from windtunnel.types.datasets import is_dataset
from windtunnel.types.tasks import TASKS, TaskInfo
from windtunnel.user_tasks import user_task

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
    train: Split
    validation: Split
    test: Split
    classes: int
    sha256: str
    """Digest of inputs and labels after splitting and scaling."""

    @property
    def features(self) -> int:
        """Number of features of an example; for text, of its tokens."""
        return prod(self.train.inputs.shape[1:])


def load(name: str) -> TaskData:
    """The data of a task; a built-in task is loaded once per process.

    Raises:
        InvalidData: the name is unknown, or the data differ from the catalogue's description.
    """
    if name in READERS:
        return load_built_in(name)
    if is_dataset(name):
        raise InvalidData(
            f"{name!r} is a data set that was uploaded to a server", "submit the job there: its workers have the data"
        )
    try:
        info = TASKS[name]
    except KeyError as error:
        known = f"allowed: {', '.join(sorted(TASKS))}; a package that brings a task must be installed on every worker"
        raise InvalidData(str(error), known) from error
    return _told_apart(info, user_parts(user_task(name), info))


@functools.lru_cache(maxsize=8)
def load_built_in(name: str) -> TaskData:
    """The data of a built-in task, kept for the process.

    Raises:
        InvalidData: the data differ from the catalogue's description.
    """
    return _told_apart(TASKS[name], READERS[name](TASKS[name]))


def _told_apart(info: TaskInfo, parts: Parts) -> TaskData:
    """The three parts with their digest."""
    train, validation, test = parts
    digest = hashlib.sha256()
    for split in (train, validation, test):
        digest.update(split.inputs.numpy().tobytes())
        digest.update(split.labels.numpy().tobytes())
    return TaskData(info.name, train, validation, test, info.classes, digest.hexdigest())
