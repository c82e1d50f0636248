"""Everything a job has judged: points, their losses seed by seed, hypergradients. One store for all arms of the portfolio.

Points that are compared are run with the same seeds (common random numbers). New seeds come in as the search goes on, so
that a point that won by luck on the old ones is found out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from windtunnel.types.events import Arm

DRAWN = 1.0
"""Runs of effect 0 that every seed is credited with."""


@dataclass(frozen=True)
class Slope:
    """One hypergradient of one seed."""

    row: int
    """The point it was taken at."""
    seed: int
    gradient: Tensor
    """[k]; not finite where the backward pass overflowed."""

    @property
    def is_sound(self) -> bool:
        """Whether it is a gradient at all."""
        return bool(self.gradient.isfinite().all())


@dataclass
class Observations:
    """Grows only.

    Args:
        points: [n, k].
        losses: validation losses, [n, seeds so far]; NaN where a point was not run with a seed, infinity where it diverged.
        arms: which arm proposed each point.
        slopes: hypergradients.
        curves: (row, seed) -> losses at the looks of a run that went to its end, where it was looked at on the way.
        foreseen: (row, seed) of runs that were ended early: their losses were extrapolated.
    """

    points: Tensor
    losses: Tensor
    arms: list[Arm] = field(default_factory=list)
    slopes: list[Slope] = field(default_factory=list)
    curves: dict[tuple[int, int], tuple[float, ...]] = field(default_factory=dict)
    foreseen: set[tuple[int, int]] = field(default_factory=set)

    @classmethod
    def none(cls, coordinates: int) -> "Observations":
        """An empty store."""
        return cls(torch.empty(0, coordinates, dtype=torch.float64), torch.empty(0, 0, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.points)

    @property
    def seeds(self) -> int:
        """Seeds that any point was run with: the next one that no point has met."""
        return self.losses.shape[1]

    def add(self, points: Tensor, arm: Arm) -> list[int]:
        """Rows of new points [n, k]; a point that is known already keeps its row."""
        rows: list[int] = []
        for point in points:
            known = (self.points == point).all(dim=1).nonzero().flatten().tolist()
            if known:
                rows.append(known[0])
                continue
            rows.append(len(self.points))
            self.points = torch.cat([self.points, point[None]])
            unknown = torch.full((1, self.losses.shape[1]), torch.nan, dtype=torch.float64)
            self.losses = torch.cat([self.losses, unknown])
            self.arms.append(arm)
        return rows

    def record(self, row: int, seed: int, loss: float) -> None:
        """The loss of one run; infinity where it diverged."""
        if seed >= self.seeds:
            unknown = torch.full((len(self), seed + 1 - self.seeds), torch.nan, dtype=torch.float64)
            self.losses = torch.cat([self.losses, unknown], dim=1)
        self.losses[row, seed] = loss
        self.foreseen.discard((row, seed))

    def foresee(self, row: int, seed: int, loss: float) -> None:
        """The extrapolated loss of a run that was ended early: it tells of the point, and is no run."""
        self.record(row, seed, loss)
        self.foreseen.add((row, seed))

    def is_run(self, row: int, seed: int) -> bool:
        """Whether a point was run with a seed, to the end."""
        return seed < self.seeds and (row, seed) not in self.foreseen and not bool(self.losses[row, seed].isnan())

    def known(self, row: int) -> Tensor:
        """Losses of a point over the seeds it was run with, [seeds run]."""
        return self.losses[row, [seed for seed in range(self.seeds) if self.is_run(row, seed)]]

    def levels(self) -> Tensor:
        """One number a point, comparable between points run with different seeds, [n]; infinity where a run diverged.

        The additive model of a two-way layout: loss = level of the point + effect of the seed, by least squares over all
        runs. An effect that few runs tell of is drawn towards 0 (``DRAWN`` runs of effect 0 are added to each seed).
        """
        run = ~self.losses.isnan()
        finite = self.losses.isfinite()
        counted = finite.double()
        values = torch.where(finite, self.losses, 0.0)
        runs = counted.sum(dim=1).clamp(min=1)
        # Normal equations in the effects alone, the levels eliminated.
        normal = torch.diag(counted.sum(dim=0) + DRAWN) - counted.T @ (counted / runs[:, None])
        right = values.sum(dim=0) - counted.T @ (values.sum(dim=1) / runs)
        effect = torch.linalg.solve(normal, right)
        corrected = torch.where(run, self.losses - effect, 0.0)
        return torch.where(run.any(dim=1), corrected.sum(dim=1) / run.sum(dim=1).clamp(min=1), torch.inf)

    def slopes_at(self, row: int) -> list[Slope]:
        """Hypergradients taken at a point, in the order they were taken."""
        return [slope for slope in self.slopes if slope.row == row]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything, as tensors and what JSON can say."""
        tensors = {"points": self.points, "losses": self.losses}
        if self.slopes:
            tensors["gradients"] = torch.stack([slope.gradient for slope in self.slopes])
        return tensors, {
            "arms": self.arms,
            "slopes": [[slope.row, slope.seed] for slope in self.slopes],
            "curves": [[row, seed, list(curve)] for (row, seed), curve in self.curves.items()],
            "foreseen": [list(run) for run in sorted(self.foreseen)],
        }

    @classmethod
    def of_state(cls, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> "Observations":
        """Inverse of ``state``."""
        slopes = [
            Slope(row, seed, gradient)
            for (row, seed), gradient in zip(numbers["slopes"], tensors.get("gradients", []), strict=True)
        ]
        curves = {(row, seed): tuple(curve) for row, seed, curve in numbers.get("curves", [])}
        foreseen = {(row, seed) for row, seed in numbers.get("foreseen", [])}
        return cls(tensors["points"], tensors["losses"], list(numbers["arms"]), slopes, curves, foreseen)
