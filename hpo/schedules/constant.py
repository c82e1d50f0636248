"""No schedule at all."""

import torch
from torch import Tensor


def constant(time: Tensor, steps: int) -> Tensor:  # noqa: ARG001 - all have the same first arguments
    """1 at every time, [T, 1]."""
    return torch.ones_like(time)
