"""The outer loop of one start: a hypergradient, a race, a move; with momentum, rollback and a shrinking trust region."""

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
GROW, SHRINK = 1.5, 0.5
WIDEST, NARROWEST = 1.5, 1 / 8
"""Bounds of the trust region, in units of the race's lengths."""
PATIENCE = 2
"""Rises beyond two standard errors in a row that send the search back to the best point."""
LOST_STEPS = 3
"""Outer steps in a row without one finite run before the job gives up."""


@dataclass(frozen=True)
class Visit:
    """One judged point: losses there are on seeds that did not choose it."""

    outer_step: int
    point: Tensor
    """[k]"""
    loss: float
    stderr: float


@dataclass(frozen=True)
class Trail:
    """State of the search from one start between two outer steps."""

    point: Tensor
    """Where it stands, [k]."""
    velocity: Tensor
    """Averaged gradient, [k]; each step adds one of largest coordinate 1."""
    conviction: Tensor
    """Averaged confidence in the sign of each coordinate, likewise, [k]."""
    width: float = 1.0
    """The trust region: factor on the race's lengths."""
    rises: int = 0
    lost: int = 0
    visits: tuple[Visit, ...] = ()

    @property
    def best(self) -> Visit | None:
        """The visit of lowest mean loss."""
        return min(self.visits, key=lambda visit: visit.loss, default=None)

    @property
    def lowest(self) -> float:
        """Mean loss of that visit; infinite where nothing was judged yet."""
        return min((visit.loss for visit in self.visits), default=math.inf)


@dataclass(frozen=True)
class Move:
    """What one outer step saw and did."""

    loss: float
    stderr: float
    seeds: int
    dropped: int
    gradient: Tensor
    """Mean hypergradient over the members that did not diverge, [k]."""
    chaos: Chaos | None
    length: float = 0.0
    """Largest coordinate of the move taken; 0 where it stayed."""
    rolled_back: bool = False
    early: EarlyStopped = NOTHING_STOPPED
    """What early stopping did in the race."""


def standing(estimate: Estimate) -> Tensor:
    """Losses of the members, [seeds]; infinite where a run diverged or its hypergradient is not finite."""
    losses = diverged_to_infinity(estimate.value.double())
    return torch.where(estimate.gradient.isfinite().all(dim=1), losses, math.inf)


def advance(
    problem: InnerProblem,
    trail: Trail,
    estimate: Estimate,
    seeds: Sequence[SeedPath],
    outer_step: int,
    population: int,
    account: Account,
) -> tuple[Trail, Move]:
    """One outer step from ``trail``, where the hypergradients of its point are known, one a seed.

    Raises:
        Diverged: no run has survived for ``LOST_STEPS`` outer steps in a row.
    """
    space = problem.space
    losses = standing(estimate)
    sound = losses.isfinite()
    mean, stderr, count = mean_and_stderr(losses)
    dropped = len(seeds) - count
    if count == 0:
        return _lost(trail, diverged_to_infinity(estimate.value), len(space))
    trail = replace(trail, lost=0, visits=(*trail.visits, Visit(outer_step, trail.point, mean, stderr)))
    gradient = estimate.gradient[sound].double().mean(dim=0)
    seen = Move(mean, stderr, count, dropped, gradient, Chaos.read(estimate, sound))
    trail, rolled_back = _guard(trail, mean, stderr)
    if rolled_back:
        return trail, replace(seen, rolled_back=True)
    trail = _accumulate(trail, estimate.gradient[sound].double(), space)
    survivors = [seed for seed, kept in zip(seeds, sound.tolist(), strict=True) if kept]
    candidates = [
        space.clamp(trail.point - length * trail.width * to_unit(averaged))
        for averaged in (trail.velocity, trail.conviction)
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

    outcome = race(trail.point, losses[sound], candidates, judged)
    trail = replace(trail, width=_next_width(trail.width, outcome.length), point=outcome.point)
    return trail, replace(seen, length=outcome.length, early=sum(early, NOTHING_STOPPED))


def _lost(trail: Trail, losses: Tensor, coordinates: int) -> tuple[Trail, Move]:
    """No member at the present point gave a loss and a gradient: back to the best point, or give up."""
    if trail.best is None or trail.lost + 1 >= LOST_STEPS:
        times = f"{trail.lost + 1} outer steps in a row" if trail.best else "at the first look"
        if losses.isfinite().any():
            raise Diverged(
                f"the hypergradient overflowed for every seed that trained, {times}",
                "use method.adjoint 'bounded', fewer inner.steps, or a lower high end of learning_rate in search",
            )
        raise Diverged(
            f"all {len(losses)} training runs of an outer step diverged, {times}",
            "lower the high end of learning_rate in search, add warmup, clip at a smaller norm, or use more seeds",
        )
    back = replace(_return_to(trail, trail.best), lost=trail.lost + 1)
    nothing = torch.zeros(coordinates, dtype=torch.float64)
    return back, Move(math.inf, 0.0, 0, len(losses), nothing, None, rolled_back=True)


def _guard(trail: Trail, mean: float, stderr: float) -> tuple[Trail, bool]:
    """Count rises beyond two standard errors of the difference; the second in a row leads back to the best point."""
    best = trail.best
    assert best is not None
    rise = mean - best.loss > 2 * math.hypot(stderr, best.stderr)
    rises = trail.rises + 1 if rise else 0
    if rises < PATIENCE:
        return replace(trail, rises=rises), False
    return _return_to(trail, best), True


def _return_to(trail: Trail, visit: Visit) -> Trail:
    """Back at an earlier point, with no memory of direction and a smaller trust region."""
    return replace(
        trail,
        point=visit.point,
        velocity=torch.zeros_like(trail.velocity),
        conviction=torch.zeros_like(trail.conviction),
        width=max(trail.width * SHRINK, NARROWEST),
        rises=0,
    )


def _next_width(width: float, length: float) -> float:
    """The trust region shrinks after a race that no candidate won, and grows after the longest candidate won."""
    if length == 0.0:
        return max(width * SHRINK, NARROWEST)
    if length > RACE_LENGTHS[1] * width:
        return min(width * GROW, WIDEST)
    return width


def _accumulate(trail: Trail, gradients: Tensor, space: Space) -> Trail:
    """Momentum on both directions; a coordinate that pushes against its bound is left out before and after."""

    def averaged(old: Tensor, new: Tensor) -> Tensor:
        free = free_gradient(new, trail.point, space.low, space.high)
        return free_gradient(MOMENTUM * old + to_unit(free), trail.point, space.low, space.high)

    return replace(
        trail,
        velocity=averaged(trail.velocity, gradients.mean(dim=0)),
        conviction=averaged(trail.conviction, confidence(gradients)),
    )
