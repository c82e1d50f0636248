"""Formulas of all learning-rate schedules, written once for all array libraries.

Update t = 0 ... T-1 of a run uses the multiplier of time t + 1, so that no update has a rate of exactly zero at its start.
At a jump it uses the value before the jump: a period of n updates has the times 1 ... n of that period, its end included.

Every formula takes

* ``xp``: the operations (``windtunnel.schedules.operations``), on floats, on tensors, or on traced arrays;
* ``time``: in steps, from 1 to T: a float, or [T, 1];
* ``steps``: T;
* its settings by name: those that can be searched may be [members] (knots [members, n]); the others are plain numbers.

and returns the multiplier, a float or [T, members]. Where a schedule is continuous in a parameter it is differentiable in
it but for kinks, such as a warmup of a whole number of steps, which has one derivative on each side.

An exported file carries the source of its formula, so a formula uses ``math``, ``xp`` and the functions of this file alone.
"""

import math
from collections.abc import Callable, Sequence

from windtunnel.schedules.operations import Number, Operations


def warmup(xp: Operations, time: Number, steps: int, warmup_fraction: Number) -> Number:
    """min(1, t / W), W = warmup_fraction T, which need not be a whole number; 0 means no warmup.

    Equal to ``torch.optim.lr_scheduler.LinearLR`` from 1 / W to 1. Goyal et al. 2017 (1706.02677), section 2.2.
    """
    length = warmup_fraction * steps
    return xp.where(time < length, time / xp.where(length > 0, length, 1.0), 1.0)


def progress(xp: Operations, time: Number, steps: int, warmup_fraction: Number) -> Number:
    """Share of the time after the warmup that is over, in [0, 1]."""
    length = warmup_fraction * steps
    return xp.clip((time - length) / (steps - length), 0.0, 1.0)


def completed(xp: Operations, periods: Number) -> Number:
    """Periods that are over; one that ends right now is not. A millionth of the time counts as rounding.

    Rounding so never decides on which side of a jump an update is. There is no derivative.
    """
    return xp.clip(xp.ceil(xp.exact(periods) * (1 - 1e-6)) - 1, 0, None)


def half_cosine(xp: Operations, share: Number) -> Number:
    """From 1 at share 0 to 0 at share 1, flat at both ends."""
    return (1 + xp.cos(math.pi * share)) / 2


def constant(xp: Operations, time: Number, steps: int) -> Number:  # noqa: ARG001 - all have the same first arguments
    """1 at every time."""
    return time**0.0


def step_decay(
    xp: Operations, time: Number, steps: int, warmup_fraction: Number, step_size: float, decay_gamma: Number
) -> Number:
    """w gamma^k after k drops at the times step_size T, 2 step_size T, ...

    Drops lie on the time of the whole run, warmup included, so that a searched warmup does not move them from one update to
    the next. Equal to ``torch.optim.lr_scheduler.StepLR`` with ``step_size`` step_size T at the same update: the first
    step_size T updates are before the first drop.
    """
    drops = completed(xp, xp.exact(time) / (step_size * steps))
    return warmup(xp, time, steps, warmup_fraction) * decay_gamma**drops


def multistep_decay(
    xp: Operations, time: Number, steps: int, warmup_fraction: Number, milestones: Sequence[float], decay_gamma: Number
) -> Number:
    """w gamma^k after k milestones, each a share of the run.

    Equal to ``torch.optim.lr_scheduler.MultiStepLR`` with milestones times T at the same update. He et al. 2015
    (1512.03385), section 4.2, drops at half and three quarters.
    """
    # A rounding error of a milestone is far below a billionth of the run, the length of one step in the longest run.
    late = [xp.exact(time) / steps > milestone + 1e-9 for milestone in milestones]
    drops = sum(xp.where(reached, 1.0, 0.0) for reached in late)
    return warmup(xp, time, steps, warmup_fraction) * decay_gamma**drops


def exponential(xp: Operations, time: Number, steps: int, warmup_fraction: Number, decay_gamma: Number) -> Number:
    """w gamma^p: gamma is the factor over the whole run, so that it means the same over any number of steps.

    Without warmup equal to ``torch.optim.lr_scheduler.ExponentialLR`` with ``gamma`` gamma^(1/T), one step later.
    """
    return warmup(xp, time, steps, warmup_fraction) * decay_gamma ** progress(xp, time, steps, warmup_fraction)


def cosine(xp: Operations, time: Number, steps: int, warmup_fraction: Number, floor: Number) -> Number:
    """w (floor + (1 - floor) (1 + cos(pi p)) / 2).

    Loshchilov & Hutter 2017 (SGDR, 1608.03983), eq. 5, without restarts. Without warmup equal to
    ``torch.optim.lr_scheduler.CosineAnnealingLR``, one step later.
    """
    share = progress(xp, time, steps, warmup_fraction)
    return warmup(xp, time, steps, warmup_fraction) * (floor + (1 - floor) * half_cosine(xp, share))


def cosine_restarts(
    xp: Operations,
    time: Number,
    steps: int,
    warmup_fraction: Number,
    floor: Number,
    cycle_length: Number,
    cycle_multiplier: float,
    decay_gamma: Number,
) -> Number:
    """w (floor + (1 - floor) gamma^k (1 + cos(pi q)) / 2) in cycle k = 0, 1, ..., of which the share q is over.

    Cycle k takes cycle_length cycle_multiplier^k of the time after the warmup; its last update has the floor. With a
    cycle_length beyond 1 the run ends within the first cycle. A restart is a jump: the derivative in ``cycle_length``, and
    in a warmup that moves the restarts, is that of the curve between jumps.

    Loshchilov & Hutter 2017 (SGDR, 1608.03983), eq. 5. Without warmup and with gamma 1 equal to
    ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`` one step later, except at the restarts, where torch is at the
    top of the next cycle already.
    """
    now = progress(xp, time, steps, warmup_fraction) / cycle_length
    growth = cycle_multiplier - 1
    # Cycles 0 ... k-1 take (multiplier^k - 1) / growth first cycles together.
    cycle = completed(xp, xp.log1p(now * growth) / math.log1p(growth) if growth > 0 else now)
    start = (cycle_multiplier**cycle - 1) / growth if growth > 0 else cycle
    share = xp.clip((now - start) / cycle_multiplier**cycle, None, 1.0)
    height = (1 - floor) * decay_gamma**cycle
    return warmup(xp, time, steps, warmup_fraction) * (floor + height * half_cosine(xp, share))


def cyclic(xp: Operations, time: Number, steps: int, floor: Number, cycle_length: Number, decay_gamma: Number) -> Number:
    """floor + (1 - floor) gamma^k (1 - |2 q - 1|) in cycle k = 0, 1, ..., of which the share q is over.

    Continuous, for every cycle begins and ends at the floor. With a cycle_length beyond 1 the run ends within the first.
    Smith 2017 (1506.01186), section 3.1. One step later it is equal to ``torch.optim.lr_scheduler.CyclicLR`` in mode
    ``triangular`` with gamma 1, ``triangular2`` with gamma 1/2.
    """
    now = time / (cycle_length * steps)
    cycle = completed(xp, now)
    share = xp.clip(now - cycle, None, 1.0)
    return floor + (1 - floor) * decay_gamma**cycle * (1 - abs(2 * share - 1))


def inverse_sqrt(xp: Operations, time: Number, steps: int, warmup_fraction: Number) -> Number:
    """min(t / W, sqrt(W / t)), W = warmup_fraction T, above 0: 1 at the end of the warmup.

    Vaswani et al. 2017 (1706.03762), eq. 3, over its peak.
    """
    length = warmup_fraction * steps
    return xp.where(time < length, time / length, xp.sqrt(length / time))


def warmup_stable_decay(
    xp: Operations,
    time: Number,
    steps: int,
    warmup_fraction: Number,
    decay_fraction: Number,
    floor: Number,
    decay_shape: str,
) -> Number:
    """w (floor + (1 - floor) g), g = 1 - q (linear) or 1 - sqrt(q), q the share of the decay that is over.

    Hu et al. 2024 (MiniCPM, 2404.06395), section 4; the shapes: Hägele et al. 2024 (2405.18392), section 3. Where warmup
    and decay overlap, both act. The derivative of 1 - sqrt(q) in ``decay_fraction`` grows without bound at an update that
    comes just after the decay begins.
    """
    length = decay_fraction * steps
    share = xp.clip((time - (steps - length)) / length, 0.0, 1.0)
    if decay_shape == "linear":
        remaining = 1 - share
    else:
        # The derivative of a root at 0 is infinite, and would be multiplied by 0 where the decay has not begun.
        begun = share > 0
        remaining = 1 - xp.where(begun, xp.sqrt(xp.where(begun, share, 1.0)), 0.0)
    return warmup(xp, time, steps, warmup_fraction) * (floor + (1 - floor) * remaining)


def gpt3(
    xp: Operations,
    time: Number,
    steps: int,  # noqa: ARG001 - all have the same first arguments
    warmup_steps: float,
    decay_steps: float,
    floor: Number,
) -> Number:
    """min(1, t / W) (floor + (1 - floor) (1 + cos(pi q)) / 2), q = (t - W) / (D - W) in [0, 1], then constant.

    Brown et al. 2020 (2005.14165), appendix B: a warmup of 375 million tokens, a cosine to 10 % at 260 billion tokens,
    counted from the start, of 300 billion. W, at least 0, and D, above W, are those counts over the tokens of one step, not
    rounded; D may lie beyond T, which plays no part.
    """
    rise = xp.clip(time / warmup_steps, None, 1.0) if warmup_steps > 0 else 1.0
    share = xp.clip((time - warmup_steps) / (decay_steps - warmup_steps), 0.0, 1.0)
    return rise * (floor + (1 - floor) * half_cosine(xp, share))


def knots(xp: Operations, time: Number, steps: int, warmup_fraction: Number, knots: Number) -> Number:
    """w exp(the linear interpolation of the logarithms of the knots, at p = 0, 1/(n-1), ..., 1; each above 0).

    Logarithms are interpolated, not values: the multiplier stays positive, a factor is an equal step at any height, and the
    log multiplier is linear in the log knots, which are the coordinates of a search. Free-form schedules tuned by
    hypergradients: Maclaurin et al. 2015 (1502.03492), section 3.1.
    """
    share = progress(xp, time, steps, warmup_fraction)
    return warmup(xp, time, steps, warmup_fraction) * xp.exp(xp.interpolated(share, xp.logs(knots)))


Formula = Callable[..., Number]

FORMULAS: dict[str, Formula] = {
    "constant": constant,
    "warmup": warmup,
    "step": step_decay,
    "multistep": multistep_decay,
    "exponential": exponential,
    "cosine": cosine,
    "cosine-restarts": cosine_restarts,
    "cyclic": cyclic,
    "inverse-sqrt": inverse_sqrt,
    "warmup-stable-decay": warmup_stable_decay,
    "gpt3": gpt3,
    "knots": knots,
}
"""Name of a schedule, as in ``windtunnel.types.SCHEDULES`` -> its formula."""
