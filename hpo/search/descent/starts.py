"""Moves several starts as one population, with their hypergradients on common seeds, and drops starts that are behind.

All starts use the same seeds in an outer step, so that the difference of two of them is known better than either loss
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
from hpo.search.descent.trust_region import DescentState, Evaluation, Move, advance, member_losses
from hpo.search.protocol import SearchState
from hpo.search.readings import NOTHING_STOPPED, EarlyStopped
from hpo.training.evaluation import SeedPath, mean_and_stderr
from hpo.training.problem import InnerProblem

PATIENCE = 2
"""Number of outer steps in a row behind the leader, by more than the noise, after which a start is dropped."""
ERRORS = 2.0
"""Size of the noise, in standard errors of the mean difference over common seeds."""


@dataclass(frozen=True)
class Start:
    """An active start: one that was not dropped."""

    number: int
    """Number of the start; a job with one start begins at number 0."""
    state: DescentState
    behind: int = 0
    """Outer steps in a row in which it was behind the leader."""

    @classmethod
    def at(cls, number: int, point: Tensor, evaluations: tuple[Evaluation, ...] = ()) -> "Start":
        """A start that has not moved yet."""
        return cls(number, DescentState(point, torch.zeros_like(point), torch.zeros_like(point), evaluations=evaluations))


@dataclass(frozen=True)
class Round:
    """Result of one outer step of all starts."""

    active: tuple[Start, ...]
    """The starts that go on, at least one."""
    leader: Start
    """The start of lowest loss, after its move."""
    before: Tensor
    """The leader's point before its move, [k]."""
    move: Move
    """The leader's move."""
    diverged: int
    """Members that were left out, over all starts."""
    early: EarlyStopped
    """Counts of early stopping, over all starts."""
    dropped: tuple[str, ...] = ()
    """One sentence for each dropped start, with the reason."""


def advance_all(
    problem: InnerProblem,
    estimator: Estimator,
    starts: Sequence[Start],
    seeds: Sequence[SeedPath],
    outer_step: int,
    population: int,
    account: Account,
) -> Round:
    """Does one outer step of every start: estimates all of them, drops those that are behind, moves the rest.

    Args:
        problem: the inner problem.
        estimator: estimator of the hypergradient.
        starts: the active starts.
        seeds: seed paths of this step, the same for every start.
        outer_step: number of this step.
        population: members trained as one computation, at most.
        account: books every run.

    Raises:
        Diverged: no start has a run that stayed finite, and no start has a point to go back to.
    """
    estimates = list(_estimated(problem, estimator, starts, seeds, population, account))
    losses = [member_losses(estimate) for estimate in estimates]
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
            state, move = advance(problem, start.state, estimate, seeds, outer_step, population, account)
        except Diverged as failure:
            lost.append(failure)
            dropped.append(f"start {start.number} dropped: {failure.message}")
        else:
            moved.append((start, Start(start.number, state, behind), move))
    if not moved:
        raise lost[0]
    diverged = sum(int((~own.isfinite()).sum()) for own in losses)
    # If no start has a loss, the leader is the start with the best point to go back to.
    first = None if ahead is None else starts[ahead].number
    before, leader, move = min(moved, key=lambda each: (each[1].number != first, each[1].state.lowest))
    active, early = tuple(after for _, after, _ in moved), sum((own.early for _, _, own in moved), NOTHING_STOPPED)
    return Round(active, leader, before.state.point, move, diverged, early, tuple(dropped))


def _estimated(
    problem: InnerProblem,
    estimator: Estimator,
    starts: Sequence[Start],
    seeds: Sequence[SeedPath],
    population: int,
    account: Account,
) -> Iterator[Estimate]:
    """Yields the hypergradients of each start; a population holds as many starts as fit, at least one."""
    draw, count = problem.draw(seeds), len(seeds)
    at_once = max(1, population // count)
    for begin in range(0, len(starts), at_once):
        together = starts[begin : begin + at_once]
        points = torch.stack([start.state.point for start in together]).repeat_interleave(count, dim=0)
        shared = draw if len(together) == 1 else draw.select(list(range(count)) * len(together))
        found = estimator.estimate(problem, points, shared, account.step)
        account.spend(found.cost)
        for index in range(len(together)):
            yield found.of(slice(index * count, (index + 1) * count))


def leading(losses: Sequence[Tensor]) -> int | None:
    """Index of the leading start: lowest mean loss over its finite runs; None if no run of any start stayed finite.

    Starts with at least half of their runs finite come before all others, so that one lucky seed does not lead.

    Args:
        losses: for each start, its losses over common seeds [seeds], infinite where a run diverged.
    """
    ranks = [(2 * int(own.isfinite().sum()) < len(own), mean_and_stderr(own)[0]) for own in losses]
    best = min(range(len(ranks)), key=lambda index: ranks[index])
    return best if math.isfinite(ranks[best][1]) else None


def is_behind(losses: Tensor, leader: Tensor) -> bool:
    """Whether a start is behind by more than ``ERRORS`` standard errors of the paired difference.

    Only seeds on which both runs are finite count; at least two are needed if the job has two. With a single seed the
    standard error is 0, so that any difference counts, as in the races of such a job.

    Args:
        losses: losses of the start, [seeds].
        leader: losses of the leader on the same seeds, [seeds].
    """
    mean, stderr, count = mean_and_stderr(losses - leader)
    return count >= min(2, len(losses)) and mean > ERRORS * stderr


def _steps_behind(start: Start, own: Tensor, leader: Tensor) -> int:
    """Outer steps in a row in which the start was behind, this one included; unchanged if it has no finite run."""
    if not own.isfinite().any():
        return start.behind
    return start.behind + 1 if is_behind(own, leader) else 0


def state_of(starts: Sequence[Start]) -> SearchState:
    """The starts as (tensors, JSON values)."""
    # The keys are part of the format of saved states: they do not follow the names of the fields.
    tensors: dict[str, Tensor] = {}
    numbers = []
    for start in starts:
        state = start.state
        visited = (
            torch.stack([evaluation.point for evaluation in state.evaluations])
            if state.evaluations
            else state.point.new_empty(0)
        )
        parts = {"point": state.point, "velocity": state.velocity, "conviction": state.confidence, "visits": visited}
        tensors |= {f"{start.number}.{name}": part for name, part in parts.items()}
        moving = {"width": state.width, "rises": state.rises, "lost": state.lost}
        evaluations = [numbers_of(evaluation) for evaluation in state.evaluations]
        numbers.append({"number": start.number, "behind": start.behind, "trail": moving, "visits": evaluations})
    return tensors, {"starts": numbers}


def starts_of(state: SearchState) -> tuple[Start, ...]:
    """The starts from their saved state: the inverse of ``state_of``."""
    tensors, numbers = state
    found = []
    for said in numbers["starts"]:
        point, velocity, confidence, visited = (
            tensors[f"{said['number']}.{part}"] for part in ("point", "velocity", "conviction", "visits")
        )
        evaluations = tuple(evaluation_of(entry, at) for entry, at in zip(said["visits"], visited, strict=True))
        found.append(
            Start(
                said["number"],
                DescentState(point, velocity, confidence, evaluations=evaluations, **said["trail"]),
                said["behind"],
            )
        )
    return tuple(found)


def numbers_of(evaluation: Evaluation) -> dict[str, float]:
    """The numbers of an evaluation by name; its point is not among them."""
    return {"outer_step": evaluation.outer_step, "loss": evaluation.loss, "stderr": evaluation.stderr}


def evaluation_of(numbers: dict[str, Any], point: Tensor) -> Evaluation:
    """The evaluation with these numbers at that point: the inverse of ``numbers_of``."""
    return Evaluation(int(numbers["outer_step"]), point, numbers["loss"], numbers["stderr"])
