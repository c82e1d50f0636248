"""Stores everything a job has judged: points, their losses seed by seed, hypergradients. All arms of a portfolio share it.

Points that are compared are run with the same seeds (common random numbers). The search adds new seeds as it goes on, so
that a point that won by luck on the old ones is detected.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from windtunnel.types.events import Arm

PSEUDO_RUNS = 1.0
"""Number of pretended runs without a seed effect, added to each seed to shrink its effect towards 0."""


@dataclass(frozen=True)
class Slope:
    """Hypergradient of one point with one seed."""

    row: int
    """Row of the point at which it was taken."""
    seed: int
    gradient: Tensor
    """[k]; not finite where the backward pass overflowed."""

    @property
    def is_sound(self) -> bool:
        """Whether every coordinate is finite."""
        return bool(self.gradient.isfinite().all())


@dataclass
class Observations:
    """Points, losses and hypergradients of a job; entries are added and never removed.

    Args:
        points: judged points, [n, k].
        losses: validation losses, [n, seeds so far]; NaN where a point was not run with a seed, infinity where it diverged.
        arms: arm that proposed each point.
        slopes: hypergradients.
        curves: (row, seed) -> validation losses on the way (at ``stopping.looks``) of runs that went to their end.
        extrapolated: (row, seed) of runs that were ended early: their losses were extrapolated.
    """

    points: Tensor
    losses: Tensor
    arms: list[Arm] = field(default_factory=list)
    slopes: list[Slope] = field(default_factory=list)
    curves: dict[tuple[int, int], tuple[float, ...]] = field(default_factory=dict)
    extrapolated: set[tuple[int, int]] = field(default_factory=set)

    @classmethod
    def none(cls, coordinates: int) -> "Observations":
        """An empty store."""
        return cls(torch.empty(0, coordinates, dtype=torch.float64), torch.empty(0, 0, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.points)

    @property
    def seeds(self) -> int:
        """Number of seeds used so far, which is also the index of the next new seed."""
        return self.losses.shape[1]

    def add(self, points: Tensor, arm: Arm) -> list[int]:
        """Adds points [n, k] and returns their rows; a point that is known already keeps its row."""
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
        """Stores the loss of one run; infinity if it diverged."""
        if seed >= self.seeds:
            unknown = torch.full((len(self), seed + 1 - self.seeds), torch.nan, dtype=torch.float64)
            self.losses = torch.cat([self.losses, unknown], dim=1)
        self.losses[row, seed] = loss
        self.extrapolated.discard((row, seed))

    def record_extrapolated(self, row: int, seed: int, loss: float) -> None:
        """Stores the extrapolated loss of a run that was ended early; it counts in ``levels`` but not as a run."""
        self.record(row, seed, loss)
        self.extrapolated.add((row, seed))

    def is_run(self, row: int, seed: int) -> bool:
        """Whether a point was run with a seed to the end of the run."""
        return seed < self.seeds and (row, seed) not in self.extrapolated and not bool(self.losses[row, seed].isnan())

    def known(self, row: int) -> Tensor:
        """Losses of a point over the seeds with which it was run to the end, [seeds run]."""
        return self.losses[row, [seed for seed in range(self.seeds) if self.is_run(row, seed)]]

    def levels(self) -> Tensor:
        """One loss per point, corrected for its seeds, [n]; infinity where a run diverged.

        Fits the additive model of a two-way layout, loss = level of the point + effect of the seed, by least squares over
        all runs. A seed effect with few runs behind it is shrunk towards 0 (``PSEUDO_RUNS`` of effect 0 are added to each).
        """
        run = ~self.losses.isnan()
        finite = self.losses.isfinite()
        counted = finite.double()
        values = torch.where(finite, self.losses, 0.0)
        runs = counted.sum(dim=1).clamp(min=1)
        # Normal equations for the seed effects alone, after the levels are eliminated.
        normal = torch.diag(counted.sum(dim=0) + PSEUDO_RUNS) - counted.T @ (counted / runs[:, None])
        right = values.sum(dim=0) - counted.T @ (values.sum(dim=1) / runs)
        effect = torch.linalg.solve(normal, right)
        corrected = torch.where(run, self.losses - effect, 0.0)
        return torch.where(run.any(dim=1), corrected.sum(dim=1) / run.sum(dim=1).clamp(min=1), torch.inf)

    def slopes_at(self, row: int) -> list[Slope]:
        """Hypergradients taken at a point, oldest first."""
        return [slope for slope in self.slopes if slope.row == row]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The whole store as (tensors, JSON values)."""
        tensors = {"points": self.points, "losses": self.losses}
        if self.slopes:
            tensors["gradients"] = torch.stack([slope.gradient for slope in self.slopes])
        return tensors, {
            "arms": self.arms,
            "slopes": [[slope.row, slope.seed] for slope in self.slopes],
            "curves": [[row, seed, list(curve)] for (row, seed), curve in self.curves.items()],
            "foreseen": [list(run) for run in sorted(self.extrapolated)],
        }

    @classmethod
    def of_state(cls, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> "Observations":
        """The store from its saved parts: the inverse of ``state``."""
        slopes = [
            Slope(row, seed, gradient)
            for (row, seed), gradient in zip(numbers["slopes"], tensors.get("gradients", []), strict=True)
        ]
        curves = {(row, seed): tuple(curve) for row, seed, curve in numbers.get("curves", [])}
        extrapolated = {(row, seed) for row, seed in numbers.get("foreseen", [])}
        return cls(tensors["points"], tensors["losses"], list(numbers["arms"]), slopes, curves, extrapolated)
