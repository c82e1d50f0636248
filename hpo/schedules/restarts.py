"""Cosines that start again."""

import math

import torch
from torch import Tensor

from hpo.schedules.cosine import half_cosine
from hpo.schedules.periods import completed
from hpo.schedules.warmup import progress, warmup


def cosine_restarts(
    time: Tensor,
    steps: int,
    warmup_fraction: Tensor,
    floor: Tensor,
    cycle_length: Tensor,
    cycle_multiplier: float,
    decay_gamma: Tensor,
) -> Tensor:
    """w (floor + (1 - floor) gamma^k (1 + cos(pi q)) / 2) in cycle k = 0, 1, ..., of which the share q is over.

    Cycle k takes cycle_length cycle_multiplier^k of the time after the warmup; its last update has the floor. A restart is
    a jump: the derivative in ``cycle_length``, and in a warmup that moves the restarts, is that of the curve between jumps.

    Loshchilov & Hutter 2017 (SGDR, 1608.03983), eq. 5. Without warmup and with gamma 1 equal to
    ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`` one step later, except at the restarts, where torch is at the
    top of the next cycle already.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        warmup_fraction: [members].
        floor: [members].
        cycle_length: [members], share of the time after the warmup; beyond 1 the run ends within the first cycle.
        cycle_multiplier: length of a cycle over that of the one before, at least 1.
        decay_gamma: [members], height of a peak above the floor over that of the one before.
    """
    now = progress(time, steps, warmup_fraction) / cycle_length
    growth = cycle_multiplier - 1
    # Cycles 0 ... k-1 take (multiplier^k - 1) / growth first cycles together.
    cycle = completed(torch.log1p(now * growth) / math.log1p(growth) if growth > 0 else now)
    start = (cycle_multiplier**cycle - 1) / growth if growth > 0 else cycle
    share = ((now - start) / cycle_multiplier**cycle).clamp(max=1.0)
    height = (1 - floor) * decay_gamma**cycle
    return warmup(time, steps, warmup_fraction) * (floor + height * half_cosine(share))
