"""One part of a data set."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Examples of one part, in a fixed order."""

    inputs: Tensor
    """Inputs [examples, features] float32; for text, tokens [examples, context] int64."""
    labels: Tensor
    """Labels [examples] int64; for text, the next tokens [examples, context]; for a regression [examples] float32."""
    sources: Tensor
    """Source of each example: index into ``TaskInfo.sources``, [examples] int64."""

    def __len__(self) -> int:
        return self.labels.shape[0]

    def on(self, device: torch.device) -> "Split":
        """The part on a device."""
        return Split(self.inputs.to(device), self.labels.to(device), self.sources.to(device))

    def batch(self, number: int, size: int) -> "Split":
        """Batch ``number`` of ``size`` examples in their own order, starting again at the end; all if there are no more."""
        count = len(self)
        if count <= size:
            return self
        rows = torch.arange(number * size, (number + 1) * size, device=self.labels.device) % count
        return Split(self.inputs[rows], self.labels[rows], self.sources[rows])


Parts = tuple[Split, Split, Split]
"""Training, validation and test part."""
