"""Piecewise constant schedules: differentiable in the factor of a drop, not in where the drops are, which are settings.

Drops lie on the time of the whole run, warmup included, so that a searched warmup does not move them from one update to the
next.
"""

import torch
from torch import Tensor

from hpo.schedules.periods import completed
from hpo.schedules.warmup import warmup


def step_decay(time: Tensor, steps: int, warmup_fraction: Tensor, step_size: float, decay_gamma: Tensor) -> Tensor:
    """w gamma^k after k drops at the times step_size T, 2 step_size T, ...

    Equal to ``torch.optim.lr_scheduler.StepLR`` with ``step_size`` step_size T at the same update: the first step_size T
    updates are before the first drop.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        warmup_fraction: [members].
        step_size: share of the run from drop to drop.
        decay_gamma: [members], factor of one drop.
    """
    drops = completed(time.double() / (step_size * steps)).to(time.dtype)
    return warmup(time, steps, warmup_fraction) * decay_gamma**drops


def multistep_decay(
    time: Tensor, steps: int, warmup_fraction: Tensor, milestones: tuple[float, ...], decay_gamma: Tensor
) -> Tensor:
    """w gamma^k after k milestones, each a share of the run.

    Equal to ``torch.optim.lr_scheduler.MultiStepLR`` with milestones times T at the same update. He et al. 2015
    (1512.03385), section 4.2, drops at half and three quarters. Shapes as in ``step_decay``.
    """
    # A rounding error of a milestone is far below a billionth of the run, the length of one step in the longest run.
    late = time.double() / steps > torch.tensor(milestones, dtype=torch.float64, device=time.device) + 1e-9
    drops = late.sum(dim=1, keepdim=True).to(time.dtype)
    return warmup(time, steps, warmup_fraction) * decay_gamma**drops
