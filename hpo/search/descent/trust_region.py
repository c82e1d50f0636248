"""One outer step from one start: a hypergradient, a race and a move, with momentum, rollback and a trust region."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.estimators.protocol import Estimate
from hpo.footprint.budget import RACE_LENGTHS
from hpo.search.account import Account
from hpo.search.descent.race import confidence, free_gradient, race, to_unit
from hpo.search.readings import NOTHING_STOPPED, Chaos, EarlyStopped
from hpo.search.stopping import all_but_best, judge_early
from hpo.training.evaluation import SeedPath, diverged_to_infinity, judge, mean_and_stderr
from hpo.training.problem import InnerProblem
from hpo.training.space import Space

MOMENTUM = 0.5
"""Weight of the averaged directions so far when a new gradient is added."""
GROW, SHRINK = 1.5, 0.5
"""Factors on the trust region: after the longest candidate won; after no candidate won, or after a rollback."""
WIDEST, NARROWEST = 1.5, 1 / 8
"""Bounds of the trust region, as factors on the race's lengths."""
PATIENCE = 2
"""Number of rises in a row, each beyond two standard errors, after which the search goes back to the best point."""
LOST_STEPS = 3
"""Number of outer steps in a row without a finite run after which the job fails."""


@dataclass(frozen=True)
class Evaluation:
    """One judged point; its losses are on seeds that did not choose it."""

    outer_step: int
    point: Tensor
    """The judged point, [k]."""
    loss: float
    stderr: float


@dataclass(frozen=True)
class DescentState:
    """State of the search from one start between two outer steps."""

    point: Tensor
    """The present point, [k]."""
    velocity: Tensor
    """Gradient averaged with momentum, [k]; each step adds a gradient scaled to largest coordinate 1."""
    confidence: Tensor
    """Confidence in the sign of each coordinate, averaged with momentum, [k]; scaled like the gradient in ``velocity``."""
    width: float = 1.0
    """Size of the trust region, as a factor on the race's lengths."""
    rises: int = 0
    """Outer steps in a row whose loss rose above the best by more than the noise."""
    lost: int = 0
    """Outer steps in a row without a finite run."""
    evaluations: tuple[Evaluation, ...] = ()
    """Judged points so far, oldest first."""

    @property
    def best(self) -> Evaluation | None:
        """The evaluation of lowest mean loss; None if nothing was judged yet."""
        return min(self.evaluations, key=lambda evaluation: evaluation.loss, default=None)

    @property
    def lowest(self) -> float:
        """Lowest mean loss of an evaluation; infinite if nothing was judged yet."""
        return min((evaluation.loss for evaluation in self.evaluations), default=math.inf)


@dataclass(frozen=True)
class Move:
    """Result of one outer step from one start."""

    loss: float
    stderr: float
    seeds: int
    dropped: int
    gradient: Tensor
    """Mean hypergradient over the members that did not diverge, [k]."""
    chaos: Chaos | None
    length: float = 0.0
    """Largest coordinate of the move; 0 if the point stayed."""
    rolled_back: bool = False
    early: EarlyStopped = NOTHING_STOPPED
    """Counts of early stopping in the race."""


def member_losses(estimate: Estimate) -> Tensor:
    """Losses of the members, [seeds]; infinite where a run diverged or its hypergradient is not finite."""
    losses = diverged_to_infinity(estimate.value.double())
    return torch.where(estimate.gradient.isfinite().all(dim=1), losses, math.inf)


def advance(
    problem: InnerProblem,
    state: DescentState,
    estimate: Estimate,
    seeds: Sequence[SeedPath],
    outer_step: int,
    population: int,
    account: Account,
) -> tuple[DescentState, Move]:
    """Does one outer step from ``state``; returns the new state and the move.

    Args:
        problem: the inner problem.
        state: the state before the step.
        estimate: hypergradients at the point of ``state``, one for each seed.
        seeds: seed paths of this step.
        outer_step: number of this step.
        population: members trained as one computation, at most.
        account: books every run.

    Raises:
        Diverged: no run stayed finite at the first evaluation, or in ``LOST_STEPS`` outer steps in a row.
    """
    space = problem.space
    losses = member_losses(estimate)
    sound = losses.isfinite()
    mean, stderr, count = mean_and_stderr(losses)
    dropped = len(seeds) - count
    if count == 0:
        return _without_finite_run(state, diverged_to_infinity(estimate.value), len(space))
    state = replace(state, lost=0, evaluations=(*state.evaluations, Evaluation(outer_step, state.point, mean, stderr)))
    gradient = estimate.gradient[sound].double().mean(dim=0)
    seen = Move(mean, stderr, count, dropped, gradient, Chaos.read(estimate, sound))
    state, rolled_back = _roll_back_after_rises(state, mean, stderr)
    if rolled_back:
        return state, replace(seen, rolled_back=True)
    state = _accumulate(state, estimate.gradient[sound].double(), space)
    survivors = [seed for seed, kept in zip(seeds, sound.tolist(), strict=True) if kept]
    candidates = [
        space.clamp(state.point - length * state.width * to_unit(averaged))
        for averaged in (state.velocity, state.confidence)
        if averaged.abs().max() > 0
        for length in RACE_LENGTHS
    ]

    early: list[EarlyStopped] = []

    def judged(rows: Tensor, which: slice, keep: int, so_far: Tensor) -> Tensor:
        if problem.spec.outer.early_stopping:
            rule = all_but_best(keep, so_far)
            raced = judge_early(problem, rows, survivors[which], population, account.step, rule)
            account.spend(raced.member_steps)
            early.append(raced.early)
            return raced.losses
        found = judge(problem, rows, survivors[which], population, account.step).validation
        account.spend(found.numel() * problem.steps)
        return found

    outcome = race(state.point, losses[sound], candidates, judged)
    state = replace(state, width=_next_width(state.width, outcome.length), point=outcome.point)
    return state, replace(seen, length=outcome.length, early=sum(early, NOTHING_STOPPED))


def _without_finite_run(state: DescentState, losses: Tensor, coordinates: int) -> tuple[DescentState, Move]:
    """Goes back to the best point after a step without a finite loss and gradient.

    Raises:
        Diverged: there is no best point, or this is the ``LOST_STEPS``-th such step in a row.
    """
    if state.best is None or state.lost + 1 >= LOST_STEPS:
        times = f"{state.lost + 1} outer steps in a row" if state.best else "at the first look"
        if losses.isfinite().any():
            raise Diverged(
                f"the hypergradient overflowed for every seed that trained, {times}",
                "use method.adjoint 'bounded', fewer inner.steps, or a lower high end of learning_rate in search",
            )
        raise Diverged(
            f"all {len(losses)} training runs of an outer step diverged, {times}",
            "lower the high end of learning_rate in search, add warmup, clip at a smaller norm, or use more seeds",
        )
    back = replace(_return_to(state, state.best), lost=state.lost + 1)
    nothing = torch.zeros(coordinates, dtype=torch.float64)
    return back, Move(math.inf, 0.0, 0, len(losses), nothing, None, rolled_back=True)


def _roll_back_after_rises(state: DescentState, mean: float, stderr: float) -> tuple[DescentState, bool]:
    """(state, whether it was rolled back): ``PATIENCE`` rises in a row lead back to the best point.

    A rise exceeds the best loss by more than two standard errors of the difference.
    """
    best = state.best
    assert best is not None
    rise = mean - best.loss > 2 * math.hypot(stderr, best.stderr)
    rises = state.rises + 1 if rise else 0
    if rises < PATIENCE:
        return replace(state, rises=rises), False
    return _return_to(state, best), True


def _return_to(state: DescentState, evaluation: Evaluation) -> DescentState:
    """The state at an earlier point, with averaged directions set to 0 and a smaller trust region."""
    return replace(
        state,
        point=evaluation.point,
        velocity=torch.zeros_like(state.velocity),
        confidence=torch.zeros_like(state.confidence),
        width=max(state.width * SHRINK, NARROWEST),
        rises=0,
    )


def _next_width(width: float, length: float) -> float:
    """The next size of the trust region: smaller if no candidate won the race, larger if the longest candidate won."""
    if length == 0.0:
        return max(width * SHRINK, NARROWEST)
    if length > RACE_LENGTHS[1] * width:
        return min(width * GROW, WIDEST)
    return width


def _accumulate(state: DescentState, gradients: Tensor, space: Space) -> DescentState:
    """The state with new gradients added to both averaged directions; a coordinate pushed against its bound becomes 0."""

    def averaged(old: Tensor, new: Tensor) -> Tensor:
        free = free_gradient(new, state.point, space.low, space.high)
        return free_gradient(MOMENTUM * old + to_unit(free), state.point, space.low, space.high)

    return replace(
        state,
        velocity=averaged(state.velocity, gradients.mean(dim=0)),
        confidence=averaged(state.confidence, confidence(gradients)),
    )
