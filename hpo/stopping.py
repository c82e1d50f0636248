"""Runs that cannot win any more are ended early: loss curves, extrapolated to the end of the run against those that lead.

All candidates share a seed, a schedule and its decay, so what is extrapolated is not a curve but the gap of two, in
logarithms: under a power law in the steps it is a line over ln t. A candidate stops where even the low end of its gap's
90 % interval at the end of the run is above 0.
"""

import math
from collections.abc import Sequence

import torch
from scipy.special import stdtrit
from torch import Tensor

from hpo.evaluation import SeedPath, diverged_to_infinity
from hpo.inner import InnerProblem, OnStep

LOOKS = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
"""Shares of the run at which the validation loss is looked at."""
FEWEST = 3
"""Looks that a line and its interval take."""
LEVEL = 0.95
"""One-sided, of the gap at the end."""


def judge_early(
    problem: InnerProblem, points: Tensor, seed: SeedPath, keep: int, population: int, on_step: OnStep
) -> tuple[Tensor, int]:
    """Train points [n, k] with one seed, and stop those that will surely not be among the best ``keep``.

    Returns:
        (validation losses [n], infinite where a run diverged or was stopped; member-steps that were trained)
    """
    rows = list(range(len(points)))
    draw = problem.draw([seed])
    state = problem.initial(draw.select([0] * len(points)), problem.coefficients(points))
    curves: list[list[float]] = [[] for _ in points]
    done, spent = 0, 0
    seen: list[int] = []
    ends = sorted({max(1, round(share * problem.steps)) for share in LOOKS} | {problem.steps})
    found = torch.full((len(points),), math.inf, dtype=torch.float64)
    for stop in ends:
        parts = []
        for first in range(0, len(rows), population):
            chunk = slice(first, first + population)
            own = problem.coefficients(points[rows[chunk]])
            of_chunk = draw.select([0] * len(rows[chunk]))
            parts.append(problem.reach(tuple(part[chunk] for part in state), own, of_chunk, done, stop, on_step))
        state = tuple(torch.cat(whole) for whole in zip(*parts, strict=True))
        spent += len(rows) * (stop - done)
        done = stop
        with torch.no_grad():
            losses, _ = problem.evaluate(state[0], problem.loss_tables(points[rows]), problem.data.validation)
        losses = diverged_to_infinity(losses.double())
        if stop == problem.steps:
            found[rows] = losses
            break
        seen.append(stop)
        for row, loss in zip(rows, losses.tolist(), strict=True):
            curves[row].append(loss)
        gone = hopeless([curves[row] for row in rows], seen, problem.steps, keep)
        alive = [at for at in range(len(rows)) if at not in gone]
        state, rows = tuple(part[alive] for part in state), [rows[at] for at in alive]
        if not rows:
            break
    return found, spent


def hopeless(curves: Sequence[Sequence[float]], seen: Sequence[int], steps: int, keep: int) -> set[int]:
    """Rows that diverged, or whose gap to the ``keep``-th best will surely still be above 0 at the end.

    Args:
        curves: losses of each row at the steps ``seen``.
        seen: steps so far, rising.
        steps: of the whole run.
        keep: rows that are kept whatever the others do.
    """
    gone = {row for row, curve in enumerate(curves) if not math.isfinite(curve[-1])}
    standing = sorted((row for row in range(len(curves)) if row not in gone), key=lambda row: curves[row][-1])
    if len(seen) < FEWEST or len(standing) <= keep:
        return gone
    bar = curves[standing[keep - 1]]
    for row in standing[keep:]:
        gaps = [math.log(own / other) for own, other in zip(curves[row], bar, strict=True)]
        if lowest_at_end(gaps, seen, steps) > 0:
            gone.add(row)
    return gone


def lowest_at_end(gaps: Sequence[float], seen: Sequence[int], steps: int) -> float:
    """Low end of what a line over ln t predicts for the gap at the end, a single run's scatter included."""
    at = [math.log(step) for step in seen]
    middle, mean = sum(at) / len(at), sum(gaps) / len(gaps)
    spread = sum((x - middle) ** 2 for x in at)
    slope = sum((x - middle) * (gap - mean) for x, gap in zip(at, gaps, strict=True)) / spread
    left = sum((gap - mean - slope * (x - middle)) ** 2 for x, gap in zip(at, gaps, strict=True))
    beyond = math.log(steps) - middle
    error = math.sqrt(left / (len(at) - 2) * (1 + 1 / len(at) + beyond**2 / spread))
    return float(mean + slope * beyond - stdtrit(len(at) - 2, LEVEL) * error)
