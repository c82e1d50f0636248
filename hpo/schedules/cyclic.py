"""Triangles."""

from torch import Tensor

from hpo.schedules.periods import completed


def cyclic(time: Tensor, steps: int, floor: Tensor, cycle_length: Tensor, decay_gamma: Tensor) -> Tensor:
    """floor + (1 - floor) gamma^k (1 - |2 q - 1|) in cycle k = 0, 1, ..., of which the share q is over.

    Continuous, for every cycle begins and ends at the floor. Smith 2017 (1506.01186), section 3.1. One step later it is
    equal to ``torch.optim.lr_scheduler.CyclicLR`` in mode ``triangular`` with gamma 1, ``triangular2`` with gamma 1/2.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        floor: [members].
        cycle_length: [members], up and down, share of the run; beyond 1 the run ends within the first cycle.
        decay_gamma: [members], height of a peak above the floor over that of the one before.
    """
    now = time / (cycle_length * steps)
    cycle = completed(now)
    share = (now - cycle).clamp(max=1.0)
    return floor + (1 - floor) * decay_gamma**cycle * (1 - (2 * share - 1).abs())
