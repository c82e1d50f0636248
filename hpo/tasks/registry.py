"""Load a task by name: raw arrays from its source, one fixed split, standardised on the training part."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.errors import InvalidData
from hpo.tasks import images, synthetic, tables
from windtunnel.types.tasks import TASKS

RawData = tuple[Tensor, Tensor]
"""(inputs [n, features] float32, labels [n] int64)."""

SPLIT_SEED = 20_240_229
"""Every job of a task sees the same three parts; the job's seed never moves an example between them."""


@dataclass(frozen=True)
class Source:
    """Where a task comes from and how its inputs are scaled."""

    read: Callable[[], RawData]
    per_feature: bool
    """Standardise each feature by itself (measurements in different units) or all by one mean and deviation (pixels)."""


SOURCES: dict[str, Source] = {
    "digits": Source(images.digits, per_feature=False),
    "mnist5k": Source(images.mnist5k, per_feature=False),
    "breast-cancer": Source(tables.breast_cancer, per_feature=True),
    "synthetic": Source(synthetic.teacher, per_feature=False),
}


@dataclass(frozen=True)
class Split:
    """One part of a data set."""

    inputs: Tensor
    """[examples, features], float32."""
    labels: Tensor
    """[examples], int64."""

    def __len__(self) -> int:
        return self.labels.shape[0]


@dataclass(frozen=True)
class TaskData:
    """A data set in three parts that share no example."""

    name: str
    train: Split
    validation: Split
    test: Split
    classes: int
    sha256: str
    """Of inputs and labels after splitting and scaling."""

    @property
    def features(self) -> int:
        """Length of one example."""
        return self.train.inputs.shape[1]


@functools.lru_cache(maxsize=8)
def load(name: str) -> TaskData:
    """Load a built-in task; the same call in the same process gives the same object.

    Raises:
        InvalidData: the name is unknown, or the source is not what the catalogue says.
    """
    if name not in SOURCES:
        raise InvalidData(f"no task {name!r}", f"allowed: {', '.join(sorted(SOURCES))}")
    source, info = SOURCES[name], TASKS[name]
    inputs, labels = source.read()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SPLIT_SEED))
    sizes = [info.train_examples, info.validation_examples, info.test_examples]
    if sum(sizes) != len(labels) or inputs.shape[1] != info.features:
        raise InvalidData(
            f"task {name!r}: the installed package ships {len(labels)} examples of {inputs.shape[1]} features, "
            f"expected {sum(sizes)} of {info.features}",
            "install the package versions of constraints.txt",
        )
    parts = torch.split_with_sizes(order, sizes)
    known = inputs[parts[0]]
    axes = 0 if source.per_feature else (0, 1)
    mean, deviation = known.mean(axes), known.std(axes)
    scaled = (inputs - mean) / deviation.clamp_min(1e-6)
    train, validation, test = (Split(scaled[part].contiguous(), labels[part].contiguous()) for part in parts)
    digest = hashlib.sha256()
    for split in (train, validation, test):
        digest.update(split.inputs.numpy().tobytes())
        digest.update(split.labels.numpy().tobytes())
    return TaskData(name, train, validation, test, info.classes, digest.hexdigest())
