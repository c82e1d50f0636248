"""A racing line search: gradients give the directions, plain runs choose the length.

A plain run costs a quarter of a hypergradient, and the gradient of a chaotic landscape says little about the step length.
So candidates along two directions (the gradient; the confidence in the sign of each coordinate) race at three lengths:
all on one seed, the best two on the others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.footprint.budget import RACE_FINALISTS

MARGIN = 0.5
"""Gain that a candidate needs over the present point, in standard errors of the paired difference."""


def free_gradient(gradient: Tensor, point: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The gradient [k], with 0 for each coordinate that descent would push through its bound."""
    blocked = ((point <= low) & (gradient > 0)) | ((point >= high) & (gradient < 0))
    return torch.where(blocked, 0.0, gradient)


def evened(gradient: Tensor) -> Tensor:
    """g / (|g| + median |g|), [k]: large coordinates near 1 in size, small ones in proportion; zero stays zero."""
    size = gradient.abs()
    if not size.max() > 0:
        return gradient
    return gradient / (size + size[size > 0].median())


def confidence(gradients: Tensor) -> Tensor:
    """Signal over noise of each coordinate of the mean gradient, [k]: t / (1 + |t|) in (-1, 1), with t = mean / stderr.

    A coordinate whose gradient is small but has the same sign for every seed moves as far as one with a large gradient. A
    coordinate whose sign depends on the seed hardly moves. One seed gives no noise estimate: its gradient is ``evened``.

    Args:
        gradients: hypergradient of each member, [members, k].
    """
    members = len(gradients)
    if members == 1:
        return evened(gradients[0])
    mean, stderr = gradients.mean(dim=0), gradients.std(dim=0) / members**0.5
    # mean / (stderr + |mean|) equals t / (1 + |t|), and is also right for stderr 0, where all seeds have the same gradient.
    total = stderr + mean.abs()
    return torch.where(total > 0, mean / torch.where(total > 0, total, 1.0), 0.0)


def to_unit(direction: Tensor) -> Tensor:
    """The direction [k] scaled so that its largest coordinate has size 1; zero stays zero."""
    largest = direction.abs().max()
    return direction / largest if largest > 0 else direction


Judge = Callable[[Tensor, slice, int, Tensor], Tensor]
"""(points [n, k], slice of the seeds, number of points that go on, sum of each point's losses over earlier seeds [n])
-> losses [n, seeds of the slice], infinite where a run diverged or was ended because its point could not go on.
"""


@dataclass(frozen=True)
class Race:
    """Outcome of a race."""

    point: Tensor
    """The winner, [k]; the present point if no candidate beat it."""
    length: float
    """Largest coordinate of the move; 0 for the present point."""
    loss: float
    """Mean loss of the winner over the step's seeds."""


def race(
    present: Tensor,
    present_losses: Tensor,
    candidates: list[Tensor],
    judge: Judge,
) -> Race:
    """Races candidates against the present point on common seeds and returns the winner.

    Args:
        present: the present point, [k].
        present_losses: losses at the present point, [seeds]; finite.
        candidates: points [k].
        judge: trains the candidates and returns their losses.
    """
    stay = Race(present, 0.0, float(present_losses.mean()))
    if not candidates:
        return stay
    points = torch.stack(candidates)
    first = judge(points, slice(0, 1), RACE_FINALISTS, torch.zeros(len(points), dtype=torch.float64))
    order = first[:, 0].argsort(stable=True)[:RACE_FINALISTS]
    finalists = points[order]
    losses = first[order]
    if len(present_losses) > 1:
        losses = torch.cat([losses, judge(finalists, slice(1, len(present_losses)), 1, losses[:, 0])], dim=1)
    means = losses.mean(dim=1)
    winner = int(means.argmin())
    gains = present_losses - losses[winner]
    noise = float(gains.std()) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    # The best of many candidates looks better than the present point even by luck, so its gain must exceed the noise.
    if not float(gains.mean()) > MARGIN * noise:
        return stay
    moved = finalists[winner]
    return Race(moved, float((moved - present).abs().max()), float(means[winner]))
