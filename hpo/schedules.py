"""Learning-rate schedules: differentiable multipliers of normalised time.

Update t = 0 ... T-1 of a run uses the multiplier of time t + 1, so that no update has a rate of exactly zero.
Warmup may end between two updates: every schedule is continuous in the warmup fraction, hence differentiable.
"""

import math

import torch
from torch import Tensor

from windtunnel.types import ConstantSchedule, CosineSchedule, ScheduleSpec, WarmupSchedule


def warmup(time: Tensor, steps: int, fraction: Tensor) -> Tensor:
    """Linear warmup: min(1, time / (fraction * steps)).

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        fraction: [members], share of the run; 0 means no warmup.
    """
    length = fraction * steps
    return torch.where(time < length, time / torch.where(length > 0, length, 1.0), 1.0)


def cosine(time: Tensor, steps: int, fraction: Tensor, floor: Tensor) -> Tensor:
    """Linear warmup, then floor + (1 - floor) (1 + cos(pi p)) / 2, p the share of the rest that is over.

    Loshchilov & Hutter 2017 (SGDR), eq. 5, without restarts. Shapes as in ``warmup``; ``floor`` is [members].
    """
    length = fraction * steps
    share = ((time - length) / (steps - length)).clamp(0.0, 1.0)
    decay = floor + (1 - floor) * (1 + torch.cos(math.pi * share)) / 2
    return torch.where(time < length, warmup(time, steps, fraction), decay)


def multipliers(schedule: ScheduleSpec, steps: int, shape: dict[str, Tensor], like: Tensor) -> Tensor:
    """Multiplier of every update, [T, members].

    Args:
        schedule: the schedule and the shape parameters that are not searched.
        steps: T.
        shape: searched shape parameters by name, each [members].
        like: gives members, dtype and device: [members, ...].
    """
    time = torch.arange(1, steps + 1, dtype=like.dtype, device=like.device)[:, None]

    def parameter(name: str) -> Tensor:
        given = shape.get(name)
        return torch.full_like(like[:, 0], getattr(schedule, name)) if given is None else given

    match schedule:
        case ConstantSchedule():
            return torch.ones(steps, like.shape[0], dtype=like.dtype, device=like.device)
        case WarmupSchedule():
            return warmup(time, steps, parameter("warmup_fraction"))
        case CosineSchedule():
            return cosine(time, steps, parameter("warmup_fraction"), parameter("floor"))
