"""Several starts as one population: their hypergradients at once on common seeds, and which of them go on.

All starts meet the same seeds in an outer step, so that the difference of two of them is known better than either loss
(common random numbers). A start that is surely behind is dropped (racing; Maron & Moore 1994, "Hoeffding races").
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.estimators.protocol import Estimate, Estimator
from hpo.search.account import Account
from hpo.search.descent.trail import Move, Trail, Visit, advance, standing
from hpo.search.protocol import SearchState
from hpo.search.readings import NOTHING_STOPPED, EarlyStopped
from hpo.training.evaluation import SeedPath, mean_and_stderr
from hpo.training.problem import InnerProblem

PATIENCE = 2
"""Outer steps in a row that a start may be behind the leader by more than the noise, before it is dropped."""
ERRORS = 2.0
"""The noise: standard errors of the mean difference over common seeds."""


@dataclass(frozen=True)
class Start:
    """One of the starts that live."""

    number: int
    """0: where a job with one start begins."""
    trail: Trail
    behind: int = 0
    """Outer steps in a row that it has been behind."""

    @classmethod
    def at(cls, number: int, point: Tensor, visits: tuple[Visit, ...] = ()) -> "Start":
        """A start that has not moved yet."""
        return cls(number, Trail(point, torch.zeros_like(point), torch.zeros_like(point), visits=visits))


@dataclass(frozen=True)
class Round:
    """What one outer step of all starts did."""

    living: tuple[Start, ...]
    """The starts that go on; never none."""
    leader: Start
    """The one of lowest loss, after its move."""
    before: Tensor
    """Where the leader was, [k]."""
    move: Move
    """Of the leader."""
    diverged: int
    """Members that were left out, over all starts."""
    early: EarlyStopped
    """What early stopping did, over all starts."""
    dropped: tuple[str, ...] = ()
    """Why starts were dropped, one sentence each."""


def advance_all(
    problem: InnerProblem,
    estimator: Estimator,
    starts: Sequence[Start],
    seeds: Sequence[SeedPath],
    outer_step: int,
    population: int,
    account: Account,
) -> Round:
    """One outer step of every start: look at all of them, drop those that are behind, move the rest.

    Args:
        problem: the inner problem.
        estimator: of the hypergradient.
        starts: those that live.
        seeds: of this step, the same for every start.
        outer_step: its number.
        population: members trained as one computation, at most.
        account: pays for every run.

    Raises:
        Diverged: no start has a run that stayed finite, and none has a point to go back to.
    """
    estimates = list(_estimated(problem, estimator, starts, seeds, population, account))
    losses = [standing(estimate) for estimate in estimates]
    ahead = leading(losses)
    moved: list[tuple[Start, Start, Move]] = []
    dropped: list[str] = []
    lost: list[Diverged] = []
    for start, estimate, own in zip(starts, estimates, losses, strict=True):
        behind = start.behind if ahead is None else _steps_behind(start, own, losses[ahead])
        if ahead is not None and behind >= PATIENCE:
            gap, error, _ = mean_and_stderr(own - losses[ahead])
            words = f"behind start {starts[ahead].number} by {gap:.3g} ± {error:.2g}, {PATIENCE} outer steps in a row"
            dropped.append(f"start {start.number} dropped: {words}")
            continue
        try:
            trail, move = advance(problem, start.trail, estimate, seeds, outer_step, population, account)
        except Diverged as failure:
            lost.append(failure)
            dropped.append(f"start {start.number} dropped: {failure.message}")
        else:
            moved.append((start, Start(start.number, trail, behind), move))
    if not moved:
        raise lost[0]
    diverged = sum(int((~own.isfinite()).sum()) for own in losses)
    # Where no start has a loss, the leader is the one with the best point to go back to.
    first = None if ahead is None else starts[ahead].number
    before, leader, move = min(moved, key=lambda each: (each[1].number != first, each[1].trail.lowest))
    living, early = tuple(after for _, after, _ in moved), sum((own.early for _, _, own in moved), NOTHING_STOPPED)
    return Round(living, leader, before.trail.point, move, diverged, early, tuple(dropped))


def _estimated(
    problem: InnerProblem,
    estimator: Estimator,
    starts: Sequence[Start],
    seeds: Sequence[SeedPath],
    population: int,
    account: Account,
) -> Iterator[Estimate]:
    """The hypergradients of each start, as many starts at a time as a population holds, at least one."""
    draw, count = problem.draw(seeds), len(seeds)
    at_once = max(1, population // count)
    for begin in range(0, len(starts), at_once):
        together = starts[begin : begin + at_once]
        points = torch.stack([start.trail.point for start in together]).repeat_interleave(count, dim=0)
        shared = draw if len(together) == 1 else draw.select(list(range(count)) * len(together))
        found = estimator.estimate(problem, points, shared, account.step)
        account.spend(found.cost)
        for index in range(len(together)):
            yield found.of(slice(index * count, (index + 1) * count))


def leading(losses: Sequence[Tensor]) -> int | None:
    """Which of the starts leads; None where no run of any stayed finite.

    The one of lowest mean over its finite runs, among those that kept at least half of them: one lucky seed is no lead.

    Args:
        losses: of each start, over common seeds [seeds], infinite where a run diverged.
    """
    ranks = [(2 * int(own.isfinite().sum()) < len(own), mean_and_stderr(own)[0]) for own in losses]
    best = min(range(len(ranks)), key=lambda index: ranks[index])
    return best if math.isfinite(ranks[best][1]) else None


def is_behind(losses: Tensor, leader: Tensor) -> bool:
    """Whether a start is behind by more than ``ERRORS`` standard errors of the paired difference.

    Seeds count on which both runs are finite; two of them at least, where there are two. The difference of a job with a
    single seed has no error, as in its races: any counts.

    Args:
        losses: of the start, [seeds].
        leader: of the leader, on the same seeds.
    """
    mean, stderr, count = mean_and_stderr(losses - leader)
    return count >= min(2, len(losses)) and mean > ERRORS * stderr


def _steps_behind(start: Start, own: Tensor, leader: Tensor) -> int:
    """One step more, or none; a step without a finite run says nothing."""
    if not own.isfinite().any():
        return start.behind
    return start.behind + 1 if is_behind(own, leader) else 0


def state_of(starts: Sequence[Start]) -> SearchState:
    """Everything of the starts, as tensors and what JSON can say."""
    tensors: dict[str, Tensor] = {}
    numbers = []
    for start in starts:
        trail = start.trail
        visited = torch.stack([visit.point for visit in trail.visits]) if trail.visits else trail.point.new_empty(0)
        parts = {"point": trail.point, "velocity": trail.velocity, "conviction": trail.conviction, "visits": visited}
        tensors |= {f"{start.number}.{name}": part for name, part in parts.items()}
        moving = {"width": trail.width, "rises": trail.rises, "lost": trail.lost}
        visits = [numbers_of(visit) for visit in trail.visits]
        numbers.append({"number": start.number, "behind": start.behind, "trail": moving, "visits": visits})
    return tensors, {"starts": numbers}


def starts_of(state: SearchState) -> tuple[Start, ...]:
    """Inverse of ``state_of``."""
    tensors, numbers = state
    found = []
    for said in numbers["starts"]:
        point, velocity, conviction, visited = (
            tensors[f"{said['number']}.{part}"] for part in ("point", "velocity", "conviction", "visits")
        )
        visits = tuple(visit_of(entry, at) for entry, at in zip(said["visits"], visited, strict=True))
        found.append(
            Start(said["number"], Trail(point, velocity, conviction, visits=visits, **said["trail"]), said["behind"])
        )
    return tuple(found)


def numbers_of(visit: Visit) -> dict[str, float]:
    """All of a visit but its point."""
    return {"outer_step": visit.outer_step, "loss": visit.loss, "stderr": visit.stderr}


def visit_of(numbers: dict[str, Any], point: Tensor) -> Visit:
    """Inverse of ``numbers_of``."""
    return Visit(int(numbers["outer_step"]), point, numbers["loss"], numbers["stderr"])
