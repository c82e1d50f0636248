"""One part of a data set."""

from dataclasses import dataclass

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


Parts = tuple[Split, Split, Split]
"""Train, validation, test."""
