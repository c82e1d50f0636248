"""One part of a data set."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Examples of one part, in a fixed order."""

    inputs: Tensor
    """[examples, features] float32; for text tokens [examples, context] int64."""
    labels: Tensor
    """[examples] int64; for text the next tokens [examples, context]; for regression [examples] float32."""
    sources: Tensor
    """Where each example comes from: index into ``TaskInfo.sources``, [examples] int64."""

    def __len__(self) -> int:
        return self.labels.shape[0]

    def batch(self, number: int, size: int) -> "Split":
        """Batch ``number`` of ``size`` examples, round and round in their own order; all of them where they are no more."""
        count = len(self)
        if count <= size:
            return self
        rows = torch.arange(number * size, (number + 1) * size, device=self.labels.device) % count
        return Split(self.inputs[rows], self.labels[rows], self.sources[rows])


Parts = tuple[Split, Split, Split]
"""Train, validation, test."""
