"""Splits a pool of data at random, the same way every time, and standardises it on the training part."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.errors import InvalidData
from hpo.tasks.split import Parts, Split
from windtunnel.types.tasks import TaskInfo

Pool = tuple[Tensor, Tensor]
"""(inputs [n, features] float32, labels [n] int64, or float32 for regression)."""

SPLIT_SEED = 20_240_229
"""Seed of the split: every job of a task gets the same three parts, whatever its own seed."""


@dataclass(frozen=True)
class Pooled:
    """Reader of a pool of data: splits and standardises it.

    Inputs are standardised with the training part's mean and deviation, and so are the targets of a regression. The
    sources of a classification task are its classes; a regression has one source.
    """

    read: Callable[[], Pool]
    per_feature: bool
    """Whether each feature is standardised by itself (measurements in different units), not all together (pixels)."""

    def __call__(self, info: TaskInfo) -> Parts:
        """The three parts, read, split and standardised.

        Raises:
            InvalidData: the data differ from the catalogue's description.
        """
        inputs, labels = self.read()
        sizes = [info.train_examples, info.validation_examples, info.test_examples]
        if sum(sizes) != len(labels) or inputs.shape[1] != info.features:
            raise InvalidData(
                f"task {info.name!r}: the installed package ships {len(labels)} examples of {inputs.shape[1]} features, "
                f"expected {sum(sizes)} of {info.features}",
                "install the package versions of constraints.txt",
            )
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SPLIT_SEED))
        parts = torch.split_with_sizes(order, sizes)
        inputs = _standardised(inputs, inputs[parts[0]], 0 if self.per_feature else (0, 1))
        if info.kind == "regression":
            labels = _standardised(labels, labels[parts[0]], 0)
            sources = torch.zeros(len(labels), dtype=torch.int64)
        else:
            sources = labels
        train, validation, test = (
            Split(inputs[part].contiguous(), labels[part].contiguous(), sources[part].contiguous()) for part in parts
        )
        return train, validation, test


def _standardised(values: Tensor, known: Tensor, axes: int | tuple[int, int]) -> Tensor:
    return (values - known.mean(axes)) / known.std(axes).clamp_min(1e-6)
