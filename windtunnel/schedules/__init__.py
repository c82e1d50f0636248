"""Learning-rate schedules as plain numbers, for the large run: no torch, no tuning.

The formulas are in ``windtunnel.schedules.formulas``. ``hpo.schedules`` evaluates them on tensors, and an exported file
contains their source.
"""

from windtunnel.schedules.formulas import FORMULAS
from windtunnel.schedules.operations import Floats
from windtunnel.types.schedules import AnySchedule

__all__ = ["multiplier"]


def multiplier(schedule: AnySchedule, step: int, steps: int, tokens_per_step: float) -> float:
    """Learning-rate multiplier of an update; after the last update it keeps its last value.

    Args:
        schedule: the schedule with its settings.
        step: number of the update, from 0.
        steps: length of the run.
        tokens_per_step: batch size times context; the batch size where a task has no context. Only a schedule that counts
            tokens reads it, and only such a schedule continues beyond ``steps``.
    """
    time = float(step + 1 if schedule.counts_tokens else min(step + 1, steps))
    found: float = FORMULAS[schedule.name](Floats, time, steps, **schedule.arguments(steps, tokens_per_step))
    return found
