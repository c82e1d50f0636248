"""Constant for most of the run, then down."""

from typing import Literal

import torch
from torch import Tensor

from hpo.schedules.warmup import warmup


def warmup_stable_decay(
    time: Tensor,
    steps: int,
    warmup_fraction: Tensor,
    decay_fraction: Tensor,
    floor: Tensor,
    decay_shape: Literal["linear", "1-sqrt"],
) -> Tensor:
    """w (floor + (1 - floor) g), g = 1 - q or 1 - sqrt(q), q the share of the decay that is over.

    Hu et al. 2024 (MiniCPM, 2404.06395), section 4; the shapes: Hägele et al. 2024 (2405.18392), section 3. Where warmup
    and decay overlap, both act. The derivative of 1 - sqrt(q) in ``decay_fraction`` grows without bound at an update that
    comes just after the decay begins.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        warmup_fraction: [members].
        decay_fraction: [members], share of the run, above 0.
        floor: [members].
        decay_shape: ``linear`` or ``1-sqrt``.
    """
    length = decay_fraction * steps
    share = ((time - (steps - length)) / length).clamp(0.0, 1.0)
    if decay_shape == "linear":
        remaining = 1 - share
    else:
        # The derivative of a root at 0 is infinite, and would be multiplied by 0 where the decay has not begun.
        begun = share > 0
        remaining = 1 - torch.where(begun, torch.sqrt(torch.where(begun, share, 1.0)), 0.0)
    return warmup(time, steps, warmup_fraction) * (floor + (1 - floor) * remaining)
