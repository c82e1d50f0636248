"""Linear warmup, alone or in front of another schedule."""

import torch
from torch import Tensor


def warmup(time: Tensor, steps: int, warmup_fraction: Tensor) -> Tensor:
    """min(1, t / W), W = warmup_fraction T, which need not be a whole number.

    Equal to ``torch.optim.lr_scheduler.LinearLR`` from 1 / W to 1. Goyal et al. 2017 (1706.02677), section 2.2.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        warmup_fraction: [members], share of the run; 0 means no warmup.

    Returns:
        [T, members]
    """
    length = warmup_fraction * steps
    return torch.where(time < length, time / torch.where(length > 0, length, 1.0), 1.0)


def progress(time: Tensor, steps: int, warmup_fraction: Tensor) -> Tensor:
    """Share of the time after the warmup that is over, in [0, 1]; shapes as in ``warmup``."""
    length = warmup_fraction * steps
    return ((time - length) / (steps - length)).clamp(0.0, 1.0)
