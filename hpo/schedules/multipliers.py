"""From a schedule's settings and its searched shape to the multipliers of a whole run."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from hpo.schedules.constant import constant
from hpo.schedules.cosine import cosine
from hpo.schedules.cyclic import cyclic
from hpo.schedules.drops import multistep_decay, step_decay
from hpo.schedules.exponential import exponential
from hpo.schedules.gpt3 import gpt3
from hpo.schedules.inverse_sqrt import inverse_sqrt
from hpo.schedules.knots import knots
from hpo.schedules.restarts import cosine_restarts
from hpo.schedules.stable_decay import warmup_stable_decay
from hpo.schedules.warmup import warmup
from windtunnel.schedules import arguments
from windtunnel.types.schedules import FIELDS, AnySchedule, ShapeName

RULES: dict[str, Callable[..., Tensor]] = {
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


def multipliers(
    schedule: AnySchedule, steps: int, shape: Mapping[ShapeName, Tensor], like: Tensor, tokens_per_step: float
) -> Tensor:
    """Multiplier of every update, [T, members].

    Args:
        schedule: the schedule and the shape parameters that are not searched.
        steps: T.
        shape: searched shape parameters by name, each [members]; ``knot`` is [members, n].
        like: gives members, dtype and device: [members, ...].
        tokens_per_step: batch size times context; the batch size where a task has no context: there one example counts as
            one token. Only ``gpt3`` reads it.
    """
    time = torch.arange(1, steps + 1, dtype=like.dtype, device=like.device)[:, None]
    given = arguments(schedule, steps, tokens_per_step)
    for name in schedule.shape:
        fixed = torch.tensor(given[FIELDS[name]], dtype=like.dtype, device=like.device)
        given[FIELDS[name]] = shape[name] if name in shape else fixed.expand(like.shape[0], *fixed.shape)
    return RULES[schedule.name](time, steps, **given).expand(steps, like.shape[0])
