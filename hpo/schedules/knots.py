"""A schedule of any form, given at a few times."""

import torch
from torch import Tensor

from hpo.schedules.warmup import progress, warmup


def knots(time: Tensor, steps: int, warmup_fraction: Tensor, knots: Tensor) -> Tensor:
    """w exp(sum_k log(v_k) hat_k(p)), with hat_k the piecewise linear function that is 1 at knot k and 0 at all others.

    Logarithms are interpolated, not values: the multiplier stays positive, a factor is an equal step at any height, and the
    log multiplier is linear in the log knots, which are the coordinates of a search. Free-form schedules tuned by
    hypergradients: Maclaurin et al. 2015 (1502.03492), section 3.1.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        warmup_fraction: [members].
        knots: multipliers [members, n] at p = 0, 1/(n-1), ..., 1; above 0.
    """
    count = knots.shape[1]
    place = progress(time, steps, warmup_fraction)[:, :, None] * (count - 1)
    hats = (1 - (place - torch.arange(count, dtype=time.dtype, device=time.device)).abs()).clamp(min=0.0)
    log_value = (hats * knots.log()).sum(dim=2)
    return warmup(time, steps, warmup_fraction) * log_value.exp()
