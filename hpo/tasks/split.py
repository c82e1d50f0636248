"""Parts of a data set: how examples are drawn, taken and counted; a part whose examples all lie in memory."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


class TrainingPart(ABC):
    """Examples to train on, each known by a row: a whole number that says where it lies."""

    sources: Tensor
    """Source of each example: index into ``TaskInfo.sources``, [examples] int64; empty where all have the same."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one example; for text (context,)."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples that share nothing: as many make an epoch."""

    @abstractmethod
    def order(self, steps: int, size: int, generator: torch.Generator) -> Tensor:
        """Rows of the batches of a run, [steps, size]."""

    @abstractmethod
    def drawn(self, size: int, generator: torch.Generator) -> Tensor:
        """Rows drawn at random with replacement, [size]."""

    @abstractmethod
    def spread(self, count: int) -> Tensor:
        """Rows at equal distances, the same always, [count]."""

    @abstractmethod
    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [*rows, *shape] and labels [*rows], for text [*rows, context]."""

    @abstractmethod
    def on(self, device: torch.device) -> Self:
        """The part for training on a device: ``take`` gives examples there."""

    @abstractmethod
    def cast(self, dtype: torch.dtype) -> Self:
        """The part with floats of that type; whole numbers stay what they are."""

    @abstractmethod
    def sample(self) -> "Split":
        """Examples in memory by which the whole part is judged: all of them, or the same few of a part that is large."""


@dataclass(frozen=True)
class Split(TrainingPart):
    """Examples of one part, in a fixed order."""

    inputs: Tensor
    """Inputs [examples, features] float32; for text, tokens [examples, context] int64."""
    labels: Tensor
    """Labels [examples] int64; for text, the next tokens [examples, context]; for a regression [examples] float32."""
    sources: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example; for text (context,)."""
        return tuple(self.inputs.shape[1:])

    def __len__(self) -> int:
        return self.labels.shape[0]

    def batch(self, number: int, size: int) -> "Split":
        """Batch ``number`` of ``size`` examples in their own order, starting again at the end; all if there are no more."""
        count = len(self)
        if count <= size:
            return self
        rows = torch.arange(number * size, (number + 1) * size, device=self.labels.device) % count
        return Split(self.inputs[rows], self.labels[rows], self.sources[rows])

    def order(self, steps: int, size: int, generator: torch.Generator) -> Tensor:
        """Rows of the batches of a run, [steps, size], through a fresh permutation of all examples in every epoch."""
        epochs = -(-steps * size // len(self))
        order = torch.cat([torch.randperm(len(self), generator=generator) for _ in range(epochs)])
        return order[: steps * size].view(steps, size)

    def drawn(self, size: int, generator: torch.Generator) -> Tensor:
        """Rows drawn at random with replacement, [size]."""
        return torch.randint(len(self), (size,), generator=generator)

    def spread(self, count: int) -> Tensor:
        """Rows at equal distances, [count]."""
        return torch.arange(count, device=self.labels.device) * len(self) // count

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [*rows, *shape] and labels [*rows], for text [*rows, context]."""
        return self.inputs[rows], self.labels[rows]

    def on(self, device: torch.device) -> Self:
        """The part with its examples on a device."""
        return replace(self, inputs=self.inputs.to(device), labels=self.labels.to(device), sources=self.sources.to(device))

    def cast(self, dtype: torch.dtype) -> Self:
        """The part with floats of that type; whole numbers stay what they are."""
        return replace(self, inputs=_cast(self.inputs, dtype), labels=_cast(self.labels, dtype))

    def sample(self) -> "Split":
        """All examples."""
        return self


def _cast(values: Tensor, dtype: torch.dtype) -> Tensor:
    return values.to(dtype) if values.is_floating_point() else values


Parts = tuple[Split, Split, Split]
"""Training, validation and test part, in memory."""
