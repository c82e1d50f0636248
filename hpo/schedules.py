"""Learning-rate schedules on tensors: the multipliers of a whole run for every member, differentiable in their shape."""

from collections.abc import Mapping

import torch
from torch import Tensor

from windtunnel.schedules.formulas import FORMULAS
from windtunnel.types.schedules import FIELDS, AnySchedule, ShapeName


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
            one token. Only a schedule that counts tokens reads it.
    """
    time = torch.arange(1, steps + 1, dtype=like.dtype, device=like.device)[:, None]
    given = schedule.arguments(steps, tokens_per_step)
    for name in schedule.shape:
        fixed = torch.tensor(given[FIELDS[name]], dtype=like.dtype).to(like.device)
        given[FIELDS[name]] = shape[name] if name in shape else fixed.expand(like.shape[0], *fixed.shape)
    found: Tensor = FORMULAS[schedule.name](_Tensors(like), time, steps, **given)
    return found.expand(steps, like.shape[0])


class _Tensors:
    """The operations of a schedule's formula on tensors (``windtunnel.schedules.operations``)."""

    def __init__(self, like: Tensor) -> None:
        """Takes from ``like`` the dtype of all values but the exact ones."""
        self._dtype = like.dtype

    def where(self, condition: Tensor, yes: Tensor | float, no: Tensor | float) -> Tensor:
        return torch.where(condition, yes, no)

    def clip(self, value: Tensor, low: float | None, high: float | None) -> Tensor:
        return value.clamp(low, high)

    def cos(self, value: Tensor) -> Tensor:
        return value.cos()

    def sqrt(self, value: Tensor) -> Tensor:
        return value.sqrt()

    def exp(self, value: Tensor) -> Tensor:
        return value.exp()

    def log1p(self, value: Tensor) -> Tensor:
        return value.log1p()

    def ceil(self, value: Tensor) -> Tensor:
        return value.detach().ceil().to(self._dtype)

    def exact(self, value: Tensor) -> Tensor:
        return value.detach().double()

    def logs(self, values: Tensor) -> Tensor:
        return values.log()

    def interpolated(self, share: Tensor, values: Tensor) -> Tensor:
        """The piecewise linear function through values [members, n] at equal distances, at a share of the run in [0, 1]."""
        count = values.shape[1]
        places = torch.arange(count, dtype=share.dtype, device=share.device)
        hats = (1 - ((share * (count - 1))[:, :, None] - places).abs()).clamp(min=0.0)
        return (hats * values).sum(dim=2)
