"""A plan's schedule as a function of a traced step in jax.numpy, its own numbers written in. No torch or JAX here.

The same formulas as ``windtunnel.schedules``, with ``jnp.where`` for every choice that depends on the time.
"""

from math import log1p

from windtunnel import schedules
from windtunnel.types.plans import TransferPlan
from windtunnel.types.schedules import (
    AnySchedule,
    ConstantSchedule,
    CosineRestartsSchedule,
    CosineSchedule,
    CyclicSchedule,
    ExponentialSchedule,
    GPT3Schedule,
    InverseSqrtSchedule,
    KnotsSchedule,
    MultistepSchedule,
    StepSchedule,
    WarmupSchedule,
    WarmupStableDecaySchedule,
)

COMPLETED = '''def completed(periods):
    """Periods that are over; one that ends right now is not. A millionth of the time counts as rounding."""
    return jnp.maximum(jnp.ceil(periods * (1 - 1e-6)) - 1, 0)'''


def jax_schedule(plan: TransferPlan) -> str:
    """Source of ``multiplier(step)`` and of the function that it may use."""
    body = _body(plan)
    parts = [COMPLETED] if any("completed(" in line for line in body) else []
    goes_on = isinstance(plan.schedule, GPT3Schedule)
    lines = [
        "def multiplier(step):",
        '    """Learning-rate multiplier of a step, counted from 0; it may be traced."""',
        f"    time = {'step + 1' if goes_on else 'jnp.minimum(step + 1, STEPS)'}",
        *(f"    {line}" for line in body),
    ]
    return "\n\n\n".join([*parts, "\n".join(lines)])


def _body(plan: TransferPlan) -> list[str]:
    schedule, steps = plan.schedule, plan.steps
    if isinstance(schedule, GPT3Schedule):
        given = schedules.arguments(schedule, steps, plan.tokens_per_step)
        return _cosine(given["warmup_steps"], given["decay_steps"], schedule.floor)
    fraction = getattr(schedule, "warmup_fraction", 0.0)
    return _formula(schedule, fraction * steps, steps)


def _formula(schedule: AnySchedule, length: float, steps: int) -> list[str]:
    """Lines of the function's body.

    Args:
        schedule: any but gpt3.
        length: of the warmup, in steps.
        steps: of the run.
    """
    warmup, share = _warmup(length), _share(length, steps)
    match schedule:
        case ConstantSchedule():
            lines = ["return jnp.ones_like(time, dtype=float)"]
        case WarmupSchedule():
            lines = [warmup, "return warmup"]
        case StepSchedule():
            drops = f"drops = completed(time / {schedule.step_size * steps!r})"
            lines = [warmup, drops, f"return warmup * {schedule.decay_gamma!r} ** drops"]
        case MultistepSchedule():
            milestones = ", ".join(repr((milestone + 1e-9) * steps) for milestone in schedule.milestones)
            drops = f"drops = jnp.sum(time > jnp.array([{milestones}]))"
            lines = [warmup, drops, f"return warmup * {schedule.decay_gamma!r} ** drops"]
        case ExponentialSchedule():
            lines = [warmup, share, f"return warmup * {schedule.decay_gamma!r} ** share"]
        case CosineSchedule():
            lines = _cosine(length, steps, schedule.floor)
        case CosineRestartsSchedule():
            lines = [warmup, share, *_restarts(schedule)]
        case CyclicSchedule():
            lines = [
                f"now = time / {schedule.cycle_length * steps!r}",
                "cycle = completed(now)",
                f"peak = {schedule.decay_gamma!r} ** cycle * (1 - jnp.abs(2 * jnp.minimum(now - cycle, 1) - 1))",
                f"return {schedule.floor!r} + {1 - schedule.floor!r} * peak",
            ]
        case InverseSqrtSchedule():
            lines = [f"return jnp.where(time < {length!r}, time / {length!r}, jnp.sqrt({length!r} / time))"]
        case WarmupStableDecaySchedule():
            decay = schedule.decay_fraction * steps
            remaining = "1 - share" if schedule.decay_shape == "linear" else "1 - jnp.sqrt(share)"
            lines = [
                warmup,
                f"share = jnp.clip((time - {steps - decay!r}) / {decay!r}, 0, 1)",
                f"return warmup * ({schedule.floor!r} + {1 - schedule.floor!r} * ({remaining}))",
            ]
        case KnotsSchedule():
            last = len(schedule.knots) - 1
            lines = [
                warmup,
                share,
                f"knots = jnp.log(jnp.array({list(schedule.knots)!r}))",
                f"return warmup * jnp.exp(jnp.interp(share * {last}, jnp.arange({last + 1}), knots))",
            ]
        case _:
            raise ValueError(f"no source in jax.numpy for schedule {schedule.name!r}")
    return lines


def _warmup(length: float) -> str:
    return f"warmup = jnp.minimum(time / {length!r}, 1)" if length > 0 else "warmup = 1"


def _share(length: float, steps: float) -> str:
    """Share of the time after the warmup that is over."""
    return f"share = jnp.clip((time - {length!r}) / {steps - length!r}, 0, 1)"


def _cosine(length: float, end: float, floor: float) -> list[str]:
    return [
        _warmup(length),
        _share(length, end),
        f"return warmup * ({floor!r} + {1 - floor!r} * (1 + jnp.cos(jnp.pi * share)) / 2)",
    ]


def _restarts(schedule: CosineRestartsSchedule) -> list[str]:
    """Half cosines, each longer and lower than the one before."""
    longer, growth = schedule.cycle_multiplier, schedule.cycle_multiplier - 1
    cycle = f"jnp.log1p(now * {growth!r}) / {log1p(growth)!r}" if growth > 0 else "now"
    start = f"({longer!r} ** cycle - 1) / {growth!r}" if growth > 0 else "cycle"
    return [
        f"now = share / {schedule.cycle_length!r}",
        f"cycle = completed({cycle})",
        f"place = jnp.minimum((now - {start}) / {longer!r} ** cycle, 1)",
        f"height = {1 - schedule.floor!r} * {schedule.decay_gamma!r} ** cycle",
        f"return warmup * ({schedule.floor!r} + height * (1 + jnp.cos(jnp.pi * place)) / 2)",
    ]
