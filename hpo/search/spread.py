"""Spreads points over a box of coordinates, and chooses points that lie apart."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine


def spread(low: Tensor, high: Tensor, count: int, seed: int) -> Tensor:
    """A scrambled Sobol sequence over the box, each point with its mirror image, [count, k].

    Args:
        low: lower corner of the box, [k].
        high: upper corner, [k].
        count: number of points; even.
        seed: seed of the scrambling.
    """
    engine = SobolEngine(len(low), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    half = engine.draw(count // 2, dtype=torch.float64)
    return low + torch.cat([half, 1 - half]) * (high - low)


def apart(ranked: Sequence[Tensor], taken: Sequence[Tensor], count: int, distance: float) -> list[Tensor]:
    """The first ``count`` points [k] that are ``distance`` or more from ``taken`` and each other; fewer if none is left.

    Args:
        ranked: candidate points, the best first.
        taken: points to keep away from.
        count: number of points, at most.
        distance: least distance of two points, as the largest difference of a coordinate, in unconstrained units.
    """
    found: list[Tensor] = []
    for point in ranked:
        if len(found) == count:
            break
        if all(float((point - other).abs().max()) >= distance for other in (*taken, *found)):
            found.append(point)
    return found
