"""Learning-rate schedules as plain numbers, for the large run: no torch, no tuning.

One function a schedule, of the time in steps (1 at the first update) and the length of the run in steps. They use nothing
but ``math`` and each other, because a transfer plan that is exported as a file carries their source. Formulas, sources and
the differentiable counterparts are in ``hpo.schedules``; both give equal numbers.
"""

import math
from collections.abc import Callable
from typing import Any

from windtunnel.types.schedules import AnySchedule, GPT3Schedule

GPT3_RUN, GPT3_WARMUP, GPT3_DECAY = 300e9, 375e6, 260e9
"""Tokens of GPT-3's run, of its warmup, and until its floor (Brown et al. 2020, appendix B)."""


def multiplier(schedule: AnySchedule, step: int, steps: int, tokens_per_step: float) -> float:
    """Learning-rate multiplier of an update, counted from 0; after the last one it keeps the last one's.

    Args:
        schedule: with all of its shape.
        step: the update.
        steps: length of the run.
        tokens_per_step: batch size times context; the batch size where a task has no context. Only ``gpt3`` reads it, and
            only it goes on beyond ``steps``.
    """
    time = step + 1 if isinstance(schedule, GPT3Schedule) else min(step + 1, steps)
    return RULES[schedule.name](time, steps, **arguments(schedule, steps, tokens_per_step))


def arguments(schedule: AnySchedule, steps: int, tokens_per_step: float) -> dict[str, Any]:
    """Keyword arguments of the schedule's function: its settings, tokens as steps (not rounded)."""
    if isinstance(schedule, GPT3Schedule):
        warmup, decay = schedule.warmup_tokens, schedule.decay_tokens
        return {
            "warmup_steps": GPT3_WARMUP / GPT3_RUN * steps if warmup is None else warmup / tokens_per_step,
            "decay_steps": GPT3_DECAY / GPT3_RUN * steps if decay is None else decay / tokens_per_step,
            "floor": schedule.floor,
        }
    return schedule.model_dump(exclude={"name"})


def warmup(time: float, steps: int, warmup_fraction: float) -> float:
    """From 0 to 1 over the first share of the run, then 1."""
    length = warmup_fraction * steps
    return time / length if time < length else 1.0


def progress(time: float, steps: int, warmup_fraction: float) -> float:
    """Share of the time after the warmup that is over, in [0, 1]."""
    length = warmup_fraction * steps
    return min(max((time - length) / (steps - length), 0.0), 1.0)


def completed(periods: float) -> int:
    """Periods that are over; one that ends right now is not. A millionth of the time counts as rounding."""
    return max(0, math.ceil(periods * (1 - 1e-6)) - 1)


def constant(time: float, steps: int) -> float:  # noqa: ARG001 - all have the same first arguments
    """Always 1."""
    return 1.0


def step_decay(time: float, steps: int, warmup_fraction: float, step_size: float, decay_gamma: float) -> float:
    """Drops at equal distances."""
    drops = completed(time / (step_size * steps))
    return warmup(time, steps, warmup_fraction) * math.pow(decay_gamma, drops)


def multistep_decay(
    time: float, steps: int, warmup_fraction: float, milestones: tuple[float, ...], decay_gamma: float
) -> float:
    """Drops at milestones."""
    drops = sum(time / steps > milestone + 1e-9 for milestone in milestones)
    return warmup(time, steps, warmup_fraction) * math.pow(decay_gamma, drops)


def exponential(time: float, steps: int, warmup_fraction: float, decay_gamma: float) -> float:
    """An equal factor at every step."""
    return warmup(time, steps, warmup_fraction) * math.pow(decay_gamma, progress(time, steps, warmup_fraction))


def cosine(time: float, steps: int, warmup_fraction: float, floor: float) -> float:
    """Half a cosine down to the floor."""
    share = progress(time, steps, warmup_fraction)
    return warmup(time, steps, warmup_fraction) * (floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2)


def cosine_restarts(
    time: float,
    steps: int,
    warmup_fraction: float,
    floor: float,
    cycle_length: float,
    cycle_multiplier: float,
    decay_gamma: float,
) -> float:
    """Half cosines, each longer and lower than the one before."""
    now = progress(time, steps, warmup_fraction) / cycle_length
    growth = cycle_multiplier - 1
    cycle = completed(math.log1p(now * growth) / math.log1p(growth) if growth > 0 else now)
    start = (cycle_multiplier**cycle - 1) / growth if growth > 0 else cycle
    share = min((now - start) / cycle_multiplier**cycle, 1.0)
    height = (1 - floor) * decay_gamma**cycle
    return warmup(time, steps, warmup_fraction) * (floor + height * (1 + math.cos(math.pi * share)) / 2)


def cyclic(time: float, steps: int, floor: float, cycle_length: float, decay_gamma: float) -> float:
    """Triangles, each lower than the one before."""
    now = time / (cycle_length * steps)
    cycle = completed(now)
    share = min(now - cycle, 1.0)
    return floor + (1 - floor) * decay_gamma**cycle * (1 - abs(2 * share - 1))


def inverse_sqrt(time: float, steps: int, warmup_fraction: float) -> float:
    """The inverse square root of the time."""
    length = warmup_fraction * steps
    return time / length if time < length else math.sqrt(length / time)


def warmup_stable_decay(
    time: float, steps: int, warmup_fraction: float, decay_fraction: float, floor: float, decay_shape: str
) -> float:
    """Constant until the decay begins."""
    length = decay_fraction * steps
    share = min(max((time - (steps - length)) / length, 0.0), 1.0)
    remaining = 1 - share if decay_shape == "linear" else 1 - math.sqrt(share)
    return warmup(time, steps, warmup_fraction) * (floor + (1 - floor) * remaining)


def gpt3(time: float, steps: int, warmup_steps: float, decay_steps: float, floor: float) -> float:  # noqa: ARG001
    """Half a cosine down to the floor, at a time that does not depend on the length of the run."""
    rise = time / warmup_steps if time < warmup_steps else 1.0
    share = min(max((time - warmup_steps) / (decay_steps - warmup_steps), 0.0), 1.0)
    return rise * (floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2)


def knots(time: float, steps: int, warmup_fraction: float, knots: tuple[float, ...]) -> float:
    """Free values, their logarithms interpolated."""
    place = progress(time, steps, warmup_fraction) * (len(knots) - 1)
    left = min(int(place), len(knots) - 2)
    log_value = (left + 1 - place) * math.log(knots[left]) + (place - left) * math.log(knots[left + 1])
    return warmup(time, steps, warmup_fraction) * math.exp(log_value)


Rule = Callable[..., float]

RULES: dict[str, Rule] = {
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
"""Name of a schedule -> its function."""
PARTS: tuple[Rule, ...] = (warmup, progress, completed)
"""What the functions use of each other."""
