"""Half a cosine down to a floor."""

import math

import torch
from torch import Tensor

from hpo.schedules.warmup import progress, warmup


def half_cosine(share: Tensor) -> Tensor:
    """From 1 at share 0 to 0 at share 1, flat at both ends."""
    return (1 + torch.cos(math.pi * share)) / 2


def cosine(time: Tensor, steps: int, warmup_fraction: Tensor, floor: Tensor) -> Tensor:
    """w (floor + (1 - floor) (1 + cos(pi p)) / 2).

    Loshchilov & Hutter 2017 (SGDR, 1608.03983), eq. 5, without restarts. Without warmup equal to
    ``torch.optim.lr_scheduler.CosineAnnealingLR``, one step later.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        warmup_fraction: [members].
        floor: [members].
    """
    share = progress(time, steps, warmup_fraction)
    return warmup(time, steps, warmup_fraction) * (floor + (1 - floor) * half_cosine(share))
