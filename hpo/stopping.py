"""Runs that cannot win any more are ended early: loss curves, extrapolated to the end of the run against a rival's.

All candidates share a seed, a schedule and its decay, so what is extrapolated is not a curve but the gap of two, in
logarithms: under a power law in the steps it is a line over ln t. A candidate stops where even the low end of its gap's
90 % interval at the end of the run is too high to win.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

from hpo.evaluation import SeedPath, diverged_to_infinity
from hpo.inner import InnerProblem, OnStep
from hpo.readings import Spared

LOOKS = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
"""Shares of the run at which the validation loss is looked at."""
FEWEST = 3
"""Looks that a line and its interval take."""
LEVEL = 0.95
"""One-sided, of the gap at the end."""

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
    spared: Spared


def looks(steps: int) -> list[int]:
    """Steps after which a run of so many is looked at, rising."""
    return sorted({max(1, round(share * steps)) for share in LOOKS} - {steps})


def judge_early(
    problem: InnerProblem,
    points: Tensor,
    seeds: Sequence[SeedPath],
    population: int,
    on_step: OnStep,
    rule: Rule,
) -> Raced:
    """Train points [n, k] with every seed, all of them from look to look, and end those that the rule says cannot win.

    A point that diverged on a seed is ended on all: its mean is infinite.
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
        hopeless = set(rule(curves.mean(dim=1)[:, : number + 1], at[: number + 1], steps)) - broken
        ended, diverged = [*ended, *sorted(hopeless)], diverged + len(broken)
        kept = [place for place, row in enumerate(rows) if row not in hopeless | broken]
        state = tuple(torch.cat(whole)[kept] for whole in zip(*parts, strict=True))
        alive = [alive[place] for place in kept]
        if not alive:
            break
    saved = len(points) * len(seeds) * steps - spent
    return Raced(losses, curves, tuple(ended), spent, Spared(len(points), len(ended), diverged, saved))


def nobody(curves: Tensor, seen: Sequence[int], steps: int) -> Sequence[int]:
    """The rule of runs that only divergence ends."""
    return ()


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
        return [
            row
            for row in standing[keep:]
            if (so_far is None or so_far[row] >= so_far[bar]) and lowest_gap(rows[row], rows[bar], seen, steps) > 0
        ]

    return rule


def behind_row(rival: int) -> Rule:
    """The rule of a race against one of the points: whoever will surely end behind it."""

    def rule(curves: Tensor, seen: Sequence[int], steps: int) -> Sequence[int]:
        rows = curves.tolist()
        others = (row for row in range(len(rows)) if row != rival and math.isfinite(rows[row][-1]))
        return [row for row in others if lowest_gap(rows[row], rows[rival], seen, steps) > 0]

    return rule


def behind_run(curve: Sequence[float], loss: float, lead: float) -> Rule:
    """The rule of a duel with a run that was made before: whoever will surely lose more than its lead.

    Args:
        curve: losses of that run at its looks.
        loss: at its end.
        lead: sum of the challenger's gains over the seeds before.
    """

    def rule(curves: Tensor, seen: Sequence[int], steps: int) -> Sequence[int]:
        gaps = ((row, lowest_gap(own, curve[: len(seen)], seen, steps)) for row, own in enumerate(curves.tolist()))
        return [row for row, gap in gaps if gap > 0 and loss * math.expm1(min(gap, 700.0)) >= lead]

    return rule


def lowest_gap(own: Sequence[float], rival: Sequence[float], seen: Sequence[int], steps: int) -> float:
    """Low end of ln(own / rival) at the end of the run; minus infinity where too little is known to tell."""
    known = all(math.isfinite(value) and value > 0 for value in (*own, *rival))
    if len(seen) < FEWEST or not known:
        return -math.inf
    return lowest_at_end(_gaps(own, rival), seen, steps)


def lowest_at_end(gaps: Sequence[float], seen: Sequence[int], steps: int) -> float:
    """Low end of what a line over ln t predicts for the gap at the end, a single run's scatter included."""
    at = [math.log(step) for step in seen]
    mean, slope, beyond, spread = _line(gaps, seen, steps)
    middle = sum(at) / len(at)
    left = sum((gap - mean - slope * (x - middle)) ** 2 for x, gap in zip(at, gaps, strict=True))
    error = math.sqrt(left / (len(at) - 2) * (1 + 1 / len(at) + beyond**2 / spread))
    return float(mean + slope * beyond - stdtrit(len(at) - 2, LEVEL) * error)


def foreseen(own: Sequence[float], rival: Sequence[float], loss: float, steps: int) -> float:
    """The loss at which a run that was ended would likely have ended: never below that of the run it could not beat.

    Args:
        own: losses at the looks until it was ended.
        rival: of a run that went on to the end.
        loss: of that run at its end.
        steps: of the whole run.
    """
    seen = looks(steps)[: len(own)]
    mean, slope, beyond, _ = _line(_gaps(own, rival), seen, steps)
    return loss * math.exp(min(max(0.0, mean + slope * beyond), 700.0))


def _gaps(own: Sequence[float], rival: Sequence[float]) -> list[float]:
    return [math.log(mine / other) for mine, other in zip(own, rival, strict=False)]


def _line(gaps: Sequence[float], seen: Sequence[int], steps: int) -> tuple[float, float, float, float]:
    """Of a line over ln t: the mean, the slope, how far the end lies beyond the middle of the looks, and their spread."""
    at = [math.log(step) for step in seen]
    middle, mean = sum(at) / len(at), sum(gaps) / len(gaps)
    spread = sum((x - middle) ** 2 for x in at)
    slope = sum((x - middle) * (gap - mean) for x, gap in zip(at, gaps, strict=True)) / spread
    return mean, slope, math.log(steps) - middle, spread
