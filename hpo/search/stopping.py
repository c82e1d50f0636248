"""Runs that cannot win any more are ended early: loss curves, extrapolated to the end of the run against a rival's.

All candidates share a seed, a schedule and its decay, so what is extrapolated is not a curve but the gap of two, in
logarithms: under a power law in the steps it is a line over ln t. A candidate stops where even the low end of its gap's
95 % interval at the end of the run is too high to win. How far gaps scatter about their lines, all candidates of a race
tell together: four points of one curve lie on a line by luck often enough.
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
"""Looks that a line and its interval take."""
LEVEL = 0.975
"""One-sided, of the gap at the end."""
FARTHEST = 700.0
"""A gap beyond which a factor is no number any more."""

Rule = Callable[[Tensor, Sequence[int], int], Sequence[int]]
"""(mean losses over seeds [points, looks so far], steps of the looks, steps of the run) -> rows that cannot win.

Rows that were ended before are NaN from then on.
"""


@dataclass(frozen=True)
class Raced:
    """Losses of points x seeds, of which some were not run to their end."""

    losses: Tensor
    """[points, seeds], float64; infinite where a run diverged or was ended."""
    curves: Tensor
    """Validation losses at the looks, [points, seeds, looks]; NaN from where a point was ended."""
    ended: tuple[int, ...]
    """Rows that were ended because they could not win."""
    member_steps: int
    """Gradient evaluations spent."""
    early: EarlyStopped


def looks(steps: int) -> list[int]:
    """Steps after which a run of so many is looked at, rising."""
    return sorted({max(1, round(share * steps)) for share in LOOKS} - {steps})


def judge_early(
    problem: InnerProblem,
    points: Tensor,
    seeds: Sequence[SeedPath],
    population: int,
    on_step: OnStep,
    rule: Rule | None = None,
) -> Raced:
    """Train points [n, k] with every seed, all of them from look to look, and end those that the rule says cannot win.

    A point that diverged on a seed is ended on all: its mean is infinite. Without a rule nothing else ends a run.
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
        seen = torch.cat(found).double()
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
    """The rule of a race whose best ``keep`` go on: whoever will surely end behind the one that is ``keep``-th now.

    Args:
        keep: points that are kept whatever the others do.
        so_far: sum of each point's losses over the seeds it was run with before, [points]. One that is ahead by them is
            kept, whatever it does on the present ones.
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
    """The rule of a race against one of the points: whoever will surely end behind it."""

    def rule(curves: Tensor, seen: Sequence[int], steps: int) -> Sequence[int]:
        rows = curves.tolist()
        others = {row: own for row, own in enumerate(rows) if row != rival and math.isfinite(own[-1])}
        return [row for row, gap in lowest_gaps(others, rows[rival], seen, steps).items() if gap > 0]

    return rule


def behind_run(curve: Sequence[float], loss: float, lead: float) -> Rule:
    """The rule of a duel with a run that was made before: whoever will surely lose more than its lead.

    Args:
        curve: losses of that run at its looks.
        loss: at its end.
        lead: sum of the challenger's gains over the seeds before.
    """

    def rule(curves: Tensor, seen: Sequence[int], steps: int) -> Sequence[int]:
        low = lowest_gaps(dict(enumerate(curves.tolist())), curve[: len(seen)], seen, steps)
        return [row for row, gap in low.items() if gap > 0 and loss * math.expm1(min(gap, FARTHEST)) >= lead]

    return rule


def lowest_gaps(
    curves: Mapping[int, Sequence[float]], rival: Sequence[float], seen: Sequence[int], steps: int
) -> dict[int, float]:
    """Row -> low end of ln(own / rival) at the end of the run, a single run's scatter included.

    Too few looks, or a loss without a logarithm, tell of nothing: the row is left out.

    Args:
        curves: row -> losses at the steps ``seen``.
        rival: losses of the run that they are compared with.
        seen: steps so far, rising.
        steps: of the whole run.
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


def foreseen(own: Sequence[float], rival: Sequence[float], loss: float, steps: int) -> float:
    """The loss at which a run that was ended would likely have ended: never below that of the run it could not beat.

    Args:
        own: losses at the looks until it was ended.
        rival: of a run that went on to the end.
        loss: of that run at its end.
        steps: of the whole run.
    """
    end, _ = Axis.of(looks(steps)[: len(own)], steps).line(gaps(own, rival))
    return loss * math.exp(min(max(0.0, end), FARTHEST))


def gaps(own: Sequence[float], rival: Sequence[float]) -> list[float]:
    """ln(own / rival) at each look that both have."""
    return [math.log(mine / other) for mine, other in zip(own, rival, strict=False)]


@dataclass(frozen=True)
class Axis:
    """ln t of the looks, from their middle, and of the end of the run."""

    at: tuple[float, ...]
    spread: float
    end: float

    @classmethod
    def of(cls, seen: Sequence[int], steps: int) -> "Axis":
        """Of looks after so many steps, in a run of ``steps``."""
        logs = [math.log(step) for step in seen]
        middle = sum(logs) / len(logs)
        at = tuple(log - middle for log in logs)
        return cls(at, sum(x * x for x in at), math.log(steps) - middle)

    @property
    def inflation(self) -> float:
        """Variance of one value at the end about its prediction, over that of a value about the line."""
        return 1 + 1 / len(self.at) + self.end**2 / self.spread

    def line(self, values: Sequence[float]) -> tuple[float, float]:
        """(what the line through the values says of the end, squares that it leaves)."""
        mean = sum(values) / len(values)
        slope = sum(x * (value - mean) for x, value in zip(self.at, values, strict=True)) / self.spread
        left = sum((value - mean - slope * x) ** 2 for x, value in zip(self.at, values, strict=True))
        return mean + slope * self.end, left
