"""The inverse square root of the time."""

import torch
from torch import Tensor


def inverse_sqrt(time: Tensor, steps: int, warmup_fraction: Tensor) -> Tensor:
    """min(t / W, sqrt(W / t)), W = warmup_fraction T: 1 at the end of the warmup.

    Vaswani et al. 2017 (1706.03762), eq. 3, over its peak.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        warmup_fraction: [members], above 0.
    """
    length = warmup_fraction * steps
    return torch.where(time < length, time / length, torch.sqrt(length / time))
