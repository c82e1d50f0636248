"""The search of every job that names its estimator: hypergradient, race and move, from one or several starts at once."""

import torch
from torch import Tensor

from hpo.errors import Diverged
from hpo.footprint.budget import (
    CHEAPEST,
    LATEST,
    RACE_FINALISTS,
    RACERS,
    STARTS_SPREAD,
    SWEEP,
    SWEEP_FINALISTS,
    short_steps,
)
from hpo.search.descent.scout import scout
from hpo.search.descent.starts import Start, advance_all, evaluation_of, numbers_of, starts_of, state_of
from hpo.search.descent.trust_region import Evaluation, Move
from hpo.search.protocol import SearchContext, SearchState
from hpo.search.readings import NOTHING_STOPPED, EarlyStopped, Readings
from hpo.search.spread import apart, spread
from hpo.seeding import Purpose
from hpo.training.evaluation import SeedPath, judge, mean_and_stderr
from windtunnel.types import OuterStep

APART = 1.0
"""Least distance of two starts, as the largest difference of a coordinate, in unconstrained units."""


class Descent:
    """Follows one estimator's hypergradients from one or several starts."""

    def __init__(self, context: SearchContext) -> None:
        self.context = context
        self.readings = Readings()
        self.active: tuple[Start, ...] = ()
        """The starts that go on."""
        self._leader = 0
        """Number of the start that led in the last outer step."""
        self._start: Evaluation | None = None

    @property
    def start(self) -> Tensor:
        """Point of the first start whose runs stayed finite, [k]; known after ``begin``."""
        assert self._start is not None
        return self._start.point

    @property
    def leader(self) -> Start:
        """The start of lowest loss in the last outer step."""
        (found,) = [start for start in self.active if start.number == self._leader]
        return found

    def begin(self) -> OuterStep:
        """Outer step 0: chooses the starts (scouted, given, or spread over the space) and judges the first of them.

        Raises:
            Diverged: no training run at a start, or at any learning rate of the scout, stayed finite.
        """
        context, spec = self.context, self.context.spec
        account, count, steps = context.account, spec.inner.seeds, spec.inner.steps
        seeds, brief = context.seeds(Purpose.SCOUT, 0, count), short_steps(steps)
        spread_over = STARTS_SPREAD * (spec.outer.starts - 1) * brief
        sweep: dict[str, list[float]] | None = None
        early = NOTHING_STOPPED
        if spec.outer.scout and spec.searches("learning_rate"):
            account.enter("scout", 0, SWEEP * brief + SWEEP_FINALISTS * count * steps + spread_over)
            found = scout(context.problem, context.shorter(brief), SWEEP, seeds, context.population, account.step)
            account.spend(found.member_steps)
            point, losses, early = found.point, found.losses, found.early
            sweep = {"learning_rate": found.rates, "loss": found.sweep}
        else:
            account.enter("scout", 0, count * steps + spread_over)
            point = context.space.start()
            losses = self._judged(point, seeds)
        points, reason = [point], None
        if spec.outer.starts > 1:
            others, reason = self._others(point, seeds[:1])
            points += others
        first = 0
        while not losses.isfinite().any() and first + 1 < len(points):
            first += 1
            losses = self._judged(points[first], seeds)
            reason = f"{reason}; start {first - 1} dropped: all {count} training runs diverged"
        mean, stderr, survivors = mean_and_stderr(losses)
        if survivors == 0:
            raise Diverged(
                f"all {count * len(points)} training runs at the start diverged",
                "start from a lower optimizer.learning_rate, or let the scout choose one (outer.scout: true)",
            )
        point, diverged = points[first], count * (first + 1) - survivors
        self._start, self._leader = Evaluation(0, point, mean, stderr), first
        self.active = tuple(
            Start.at(number, at, (self._start,) if number == first else ())
            for number, at in enumerate(points)
            if number >= first
        )
        self.readings = self.readings.dropping(diverged).stopping(early)
        move = Move(mean, stderr, survivors, count - survivors, torch.empty(0), None)
        return self._report(0, point, point, move, diverged, early, reason, sweep)

    def _judged(self, point: Tensor, seeds: list[SeedPath]) -> Tensor:
        """Losses at one point at the full horizon, [seeds]."""
        context = self.context
        losses = judge(context.problem, point[None], seeds, context.population, context.account.step).validation[0]
        context.account.spend(losses.numel() * context.problem.steps)
        return losses

    def _others(self, first: Tensor, seed: list[SeedPath]) -> tuple[list[Tensor], str]:
        """(the other starts, a sentence on them): points spread over the space, best by short runs, that lie apart."""
        context, space, wanted = self.context, self.context.space, self.context.spec.outer.starts - 1
        short = context.shorter(short_steps(context.spec.inner.steps))
        points = spread(space.low, space.high, STARTS_SPREAD * wanted, context.spec.seed)
        losses = judge(short, points, seed, context.population, context.account.step).validation[:, 0]
        context.account.spend(len(points) * short.steps)
        ranked = [points[row] for row in losses.argsort(stable=True).tolist() if losses[row].isfinite()]
        found = apart(ranked, [first], wanted, APART)
        words = f"{len(ranked)} of {len(points)} points spread over the space stayed finite in a short run"
        return found, f"{words}, {len(found)} of them {APART:g} or more apart are starts beside the first"

    def advance(self, outer_step: int) -> OuterStep:
        """Moves every active start once and reports the leader's move."""
        context, count = self.context, self.context.spec.inner.seeds
        racing = RACERS + RACE_FINALISTS * (count - 1)
        estimating = count * context.estimator.member_steps(context.problem)
        each = estimating + racing * context.spec.inner.steps
        context.account.enter("tune", outer_step, len(self.active) * each)
        seeds = context.seeds(Purpose.MOVE, outer_step, count)
        done = advance_all(
            context.problem, context.estimator, self.active, seeds, outer_step, context.population, context.account
        )
        self.active, self._leader = done.active, done.leader.number
        self.readings = (
            self.readings.dropping(done.diverged).adding(done.move.chaos, done.move.gradient).stopping(done.early)
        )
        reason = "; ".join(done.dropped) or None
        after = done.leader.state.point
        return self._report(outer_step, done.before, after, done.move, done.diverged, done.early, reason)

    def _report(
        self,
        outer_step: int,
        before: Tensor,
        after: Tensor,
        move: Move,
        diverged: int,
        early: EarlyStopped,
        reason: str | None,
        sweep: dict[str, list[float]] | None = None,
    ) -> OuterStep:
        space, chaos, several = self.context.space, move.chaos, self.context.spec.outer.starts > 1
        gradient = dict(zip(space.labels, move.gradient.tolist(), strict=True)) if len(move.gradient) else {}
        return OuterStep(
            outer_step=outer_step,
            outer_steps=self.context.spec.outer.planned_steps,
            arm="gradient" if gradient else "scout",
            reason=reason,
            ended_early=early.stopped + early.diverged if self.context.spec.outer.early_stopping else None,
            saved_steps=early.steps if self.context.spec.outer.early_stopping else None,
            starts=len(self.active) if several else None,
            leader=self._leader if several else None,
            loss=move.loss if move.seeds else None,
            stderr=move.stderr,
            seeds=move.seeds,
            dropped_members=diverged,
            hyperparameters=space.as_dict(before),
            gradient=gradient,
            gradient_norm=float(move.gradient.norm()) if gradient else None,
            bounded_share=None if chaos is None else chaos.bounded_share,
            mean_scale=None if chaos is None else chaos.mean_scale,
            step_length=move.length,
            moved=not torch.equal(before, after),
            rolled_back=move.rolled_back,
            sweep=sweep,
            run_equivalents=self.context.account.run_equivalents,
        )

    def candidates(self) -> Tensor:
        """Points to judge at the end, [n, k]: the start; the leader's present, best and latest; the other starts."""
        state = self.leader.state
        cheapest = sorted(state.evaluations, key=lambda evaluation: evaluation.loss)[:CHEAPEST]
        leaders = (state.point, *(evaluation.point for evaluation in (*cheapest, *state.evaluations[-LATEST:])))
        found: list[Tensor] = []
        for point in (self.start, *leaders, *(start.state.point for start in self.active)):
            if not any(torch.equal(point, other) for other in found):
                found.append(point)
        return torch.stack(found)

    def answer(self) -> None:
        """Returns None: this search trains no best response."""

    def state(self) -> SearchState:
        """The active starts, the evaluation of the first one, and the leader's number."""
        assert self._start is not None
        tensors, numbers = state_of(self.active)
        tensors["start"] = self._start.point
        return tensors, {**numbers, "start": numbers_of(self._start), "leader": self._leader}

    def load(self, state: SearchState) -> None:
        """Continues with the starts and the leader of a saved state."""
        tensors, numbers = state
        self.active, self._leader = starts_of(state), numbers["leader"]
        self._start = evaluation_of(numbers["start"], tensors["start"])
