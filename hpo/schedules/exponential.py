"""An equal factor at every step."""

from torch import Tensor

from hpo.schedules.warmup import progress, warmup


def exponential(time: Tensor, steps: int, warmup_fraction: Tensor, decay_gamma: Tensor) -> Tensor:
    """w gamma^p: gamma is the factor over the whole run, so that it means the same over any number of steps.

    Without warmup equal to ``torch.optim.lr_scheduler.ExponentialLR`` with ``gamma`` gamma^(1/T), one step later.

    Args:
        time: [T, 1], in steps, from 1 to T.
        steps: T.
        warmup_fraction: [members].
        decay_gamma: [members].
    """
    return warmup(time, steps, warmup_fraction) * decay_gamma ** progress(time, steps, warmup_fraction)
