"""Early stopping: ends runs that cannot win, by extrapolating the gap of their losses to a rival's to the end of the run.

All candidates share a seed, a schedule and its decay. So the gap ln(own loss / rival loss) is extrapolated, not the loss
itself: under a power law in the steps t the gap is a line over ln t. A candidate is ended if even the low end of the 95 %
interval of its gap at the end of the run is too high to win. The scatter of the gaps about their lines is estimated from
all candidates of a race together, because four points of one curve often lie on a line by luck.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

from hpo.footprint.budget import LOOKS
from hpo.search.readings import EarlyStopped
from hpo.training.evaluation import SeedPath, diverged_to_infinity
from hpo.training.problem import InnerProblem, OnStep

FEWEST = 4
"""Least number of looks from which a line and its interval are fitted."""
LEVEL = 0.975
"""One-sided confidence level of the interval of the gap at the end of the run."""
FARTHEST = 700.0
"""Largest gap whose exponential is still a finite float64."""

Rule = Callable[[Tensor, Sequence[int], int], Sequence[int]]
"""(mean losses over seeds [points, looks so far], steps of the looks, steps of the run) -> rows that cannot win.

A row that was ended at an earlier look has NaN losses from then on.
"""


@dataclass(frozen=True)
class Raced:
    """Outcome of runs of points x seeds, some of which were ended early."""

    losses: Tensor
    """Losses at the end, [points, seeds], float64; infinite where a run diverged or was ended."""
    curves: Tensor
    """Validation losses at the looks, [points, seeds, looks]; NaN from where a point was ended."""
    ended: tuple[int, ...]
    """Rows that were ended because they could not win."""
    member_steps: int
    """Gradient evaluations spent."""
    early: EarlyStopped
    """Counts of the points and steps that early stopping ended."""


def looks(steps: int) -> list[int]:
    """Steps at which a run of ``steps`` steps is looked at on the way, rising; its end is not among them."""
    return sorted({max(1, round(share * steps)) for share in LOOKS} - {steps})


def judge_early(
    problem: InnerProblem,
    points: Tensor,
    seeds: Sequence[SeedPath],
    population: int,
    on_step: OnStep,
    rule: Rule | None = None,
) -> Raced:
    """Trains points [n, k] with every seed, all of them from look to look, and ends those that cannot win by the rule.

    A point that diverges on one seed is ended on all seeds: its mean loss is infinite. Without a rule nothing else ends a
    run.
    """
    draw, steps, at = problem.draw(seeds), problem.steps, looks(problem.steps)
    alive = [(row, seed) for row in range(len(points)) for seed in range(len(seeds))]
    curves = torch.full((len(points), len(seeds), len(at)), math.nan, dtype=torch.float64)
    losses = torch.full((len(points), len(seeds)), math.inf, dtype=torch.float64)
    state: tuple[Tensor, ...] = ()
    ended, diverged, spent, done = list[int](), 0, 0, 0
    for number, stop in enumerate([*at, steps]):
        parts, found = [], []
        for first in range(0, len(alive), population):
            chunk = alive[first : first + population]
            own, drawn = points[[row for row, _ in chunk]], draw.select([seed for _, seed in chunk])
            table = problem.coefficients(own)
            begun = tuple(part[first : first + population] for part in state) or problem.initial(drawn, table)
            parts.append(problem.reach(begun, table, drawn, done, stop, on_step))
            with torch.no_grad():
                found.append(problem.evaluate(parts[-1][0], problem.loss_tables(own), problem.data.validation)[0])
        spent, done = spent + len(alive) * (stop - done), stop
        seen = torch.cat(found).to(points.device).double()
        rows, columns = (list(index) for index in zip(*alive, strict=True))
        if stop == steps:
            losses[rows, columns] = diverged_to_infinity(seen)
            break
        curves[rows, columns, number] = seen
        broken = {row for row, loss in zip(rows, seen.tolist(), strict=True) if not math.isfinite(loss)}
        lost = rule(curves.mean(dim=1)[:, : number + 1], at[: number + 1], steps) if rule else ()
        hopeless = set(lost) - broken
        ended, diverged = [*ended, *sorted(hopeless)], diverged + len(broken)
        kept = [place for place, row in enumerate(rows) if row not in hopeless | broken]
        state = tuple(torch.cat(whole)[kept] for whole in zip(*parts, strict=True))
        alive = [alive[place] for place in kept]
        if not alive:
            break
    saved = len(points) * len(seeds) * steps - spent
    return Raced(losses, curves, tuple(ended), spent, EarlyStopped(len(points), len(ended), diverged, saved))


def all_but_best(keep: int, so_far: Tensor | None = None) -> Rule:
    """The rule of a race whose best ``keep`` points go on: ends points that will surely end behind the present ``keep``-th.

    Args:
        keep: number of points that are always kept.
        so_far: sum of each point's losses over the seeds of earlier runs, [points]. A point with a lower sum than the
            ``keep``-th is kept, whatever its present losses. None: no earlier runs.
    """

    def rule(curves: Tensor, seen: Sequence[int], steps: int) -> Sequence[int]:
        rows = curves.tolist()
        standing = sorted((row for row in range(len(rows)) if math.isfinite(rows[row][-1])), key=lambda row: rows[row][-1])
        if len(standing) <= keep:
            return ()
        bar = standing[keep - 1]
        low = lowest_gaps({row: rows[row] for row in standing[keep:]}, rows[bar], seen, steps)
        return [row for row, gap in low.items() if gap > 0 and (so_far is None or so_far[row] >= so_far[bar])]

    return rule


def behind_row(rival: int) -> Rule:
    """The rule of a race against the point of row ``rival``: ends points that will surely end behind it."""

    def rule(curves: Tensor, seen: Sequence[int], steps: int) -> Sequence[int]:
        rows = curves.tolist()
        others = {row: own for row, own in enumerate(rows) if row != rival and math.isfinite(own[-1])}
        return [row for row, gap in lowest_gaps(others, rows[rival], seen, steps).items() if gap > 0]

    return rule


def behind_run(curve: Sequence[float], loss: float, lead: float) -> Rule:
    """The rule of a comparison with a finished run: ends points that will surely lose more than their lead on this seed.

    Args:
        curve: losses of the finished run at its looks.
        loss: loss of the finished run at its end.
        lead: sum of the challenger's gains over the earlier seeds, nats.
    """

    def rule(curves: Tensor, seen: Sequence[int], steps: int) -> Sequence[int]:
        low = lowest_gaps(dict(enumerate(curves.tolist())), curve[: len(seen)], seen, steps)
        return [row for row, gap in low.items() if gap > 0 and loss * math.expm1(min(gap, FARTHEST)) >= lead]

    return rule


def lowest_gaps(
    curves: Mapping[int, Sequence[float]], rival: Sequence[float], seen: Sequence[int], steps: int
) -> dict[int, float]:
    """Row -> low end of the interval of ln(own / rival) at the end of the run; the scatter of a single run is included.

    A row is left out if a loss has no logarithm; every row is left out if there are fewer than ``FEWEST`` looks.

    Args:
        curves: row -> losses at the steps ``seen``.
        rival: losses of the rival run at the same steps.
        seen: steps of the looks so far, rising.
        steps: steps of the whole run.
    """
    usable = {row: own for row, own in curves.items() if all(0 < value < math.inf for value in (*own, *rival))}
    if len(seen) < FEWEST or not usable:
        return {}
    freedom, reach = len(seen) - 2, Axis.of(seen, steps)
    lines = {row: reach.line(gaps(own, rival)) for row, own in usable.items()}
    together = sum(left for _, left in lines.values()) / (freedom * len(lines))
    found = {}
    for row, (end, left) in lines.items():
        own = left / freedom
        variance, degrees = (own, freedom) if own > together else (together, freedom * len(lines))
        found[row] = end - float(stdtrit(degrees, LEVEL)) * math.sqrt(variance * reach.inflation)
    return found


def extrapolated_loss(own: Sequence[float], rival: Sequence[float], loss: float, steps: int) -> float:
    """The extrapolated final loss of a run that was ended early; never below the final loss of its rival.

    Args:
        own: losses of the ended run at its looks.
        rival: losses at the looks of a run that went to its end.
        loss: final loss of the rival.
        steps: steps of the whole run.
    """
    end, _ = Axis.of(looks(steps)[: len(own)], steps).line(gaps(own, rival))
    return loss * math.exp(min(max(0.0, end), FARTHEST))


def gaps(own: Sequence[float], rival: Sequence[float]) -> list[float]:
    """The gaps ln(own / rival) at the looks that both runs have."""
    return [math.log(mine / other) for mine, other in zip(own, rival, strict=False)]


@dataclass(frozen=True)
class Axis:
    """The axis ln t of a linear fit: the looks and the end of the run, relative to the mean of the looks."""

    at: tuple[float, ...]
    """ln t of each look less their mean."""
    spread: float
    """Sum of the squares of ``at``."""
    end: float
    """ln t of the end of the run less the mean of the looks."""

    @classmethod
    def of(cls, seen: Sequence[int], steps: int) -> "Axis":
        """The axis of looks at the steps ``seen`` of a run of ``steps`` steps."""
        logs = [math.log(step) for step in seen]
        middle = sum(logs) / len(logs)
        at = tuple(log - middle for log in logs)
        return cls(at, sum(x * x for x in at), math.log(steps) - middle)

    @property
    def inflation(self) -> float:
        """Variance of a value at the end of the run about its prediction, over the variance of a value about the line."""
        return 1 + 1 / len(self.at) + self.end**2 / self.spread

    def line(self, values: Sequence[float]) -> tuple[float, float]:
        """(least-squares line through the values at the end of the run, sum of its squared residuals)."""
        mean = sum(values) / len(values)
        slope = sum(x * (value - mean) for x, value in zip(self.at, values, strict=True)) / self.spread
        left = sum((value - mean - slope * x) ** 2 for x, value in zip(self.at, values, strict=True))
        return mean + slope * self.end, left
