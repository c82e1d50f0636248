"""Alternates outer steps: hypergradients tune the optimizer's hyperparameters, best-response runs the regularisers."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hpo.best_response.objectives import Objectives
from hpo.best_response.run import Answer, BestResponseRun, Standing, answered
from hpo.estimators.protocol import Estimate, Estimator
from hpo.search.best_response.reporting import advanced, report
from hpo.search.best_response.storing import standing_of, state_of
from hpo.search.descent.descent import Descent
from hpo.search.descent.starts import Start
from hpo.search.protocol import SearchContext, SearchState
from hpo.search.readings import Readings
from hpo.seeding import Purpose
from hpo.training.problem import Draw, InnerProblem, OnStep, silent
from windtunnel.types import OuterStep

PREFIX = "response."
"""Prefix of the names of the last best-response run's tensors in a saved state."""


@dataclass(frozen=True)
class MaskedEstimator:
    """An estimator whose gradient is set to 0 in the rows that a best response tunes."""

    estimator: Estimator
    rows: tuple[int, ...]

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Hypergradients of the wrapped estimator, [members, k], with 0 in ``rows``."""
        found = self.estimator.estimate(problem, points, draw, on_step)
        gradient = found.gradient.clone()
        gradient[:, list(self.rows)] = 0.0
        return replace(found, gradient=gradient)

    def member_steps(self, problem: InnerProblem) -> int:
        """Member-steps of one hypergradient of the wrapped estimator."""
        return self.estimator.member_steps(problem)


class Alternating:
    """Follows the hypergradient with fixed regularisers in odd outer steps; even ones are whole best-response runs.

    A best-response run begins at the leader's present point, with seeds of its own. Its last regularisers replace those of
    every active start. The starts still differ in the optimizer's hyperparameters, and the next hypergradients judge each
    of them anew.
    """

    def __init__(self, context: SearchContext, objectives: type[Objectives]) -> None:
        self.context, self.objectives = context, objectives
        self.rows = answered(context.problem)
        self.descent = Descent(replace(context, estimator=MaskedEstimator(context.estimator, tuple(self.rows))))
        self._trained: tuple[int, Standing] | None = None
        """Outer step and final state of the last best-response run; None before the first."""

    @property
    def readings(self) -> Readings:
        """Sums of the diagnostics over all outer steps; kept by the descent."""
        return self.descent.readings

    @readings.setter
    def readings(self, readings: Readings) -> None:
        self.descent.readings = readings

    @property
    def start(self) -> Tensor:
        """Start of the descent, [k]; known after ``begin``."""
        return self.descent.start

    def begin(self) -> OuterStep:
        """Outer step 0 of the descent: chooses the starts and judges the first of them.

        Raises:
            Diverged: no training run at a start, or at any learning rate of the scout, stayed finite.
        """
        return self.descent.begin()

    def advance(self, outer_step: int) -> OuterStep:
        """Does one outer step of the descent if ``outer_step`` is odd, one best-response run if it is even."""
        return self.descent.advance(outer_step) if outer_step % 2 else self._respond(outer_step)

    def _run(self, outer_step: int) -> BestResponseRun:
        """The best-response run of an outer step, with the seeds of that step."""
        context = self.context
        draw = context.problem.draw(context.seeds(Purpose.RESPONSE, outer_step, context.spec.inner.seeds))
        return BestResponseRun(context.problem, self.objectives, context.spec.method.best_response_settings, draw)

    def _respond(self, outer_step: int) -> OuterStep:
        """Does one best-response run from the leader's point and gives its regularisers to every active start."""
        run, leader = self._run(outer_step), self.descent.leader
        block = advanced(self.context, run, run.begin(leader.state.point), self.context.spec.inner.steps, outer_step)
        self._trained = outer_step, block.after
        self.descent.active = tuple(self._with_regularisers(start, block.after.point) for start in self.descent.active)
        step = report(self.context, run, block)
        self.readings = self.readings.dropping(step.dropped_members)
        return step

    def _with_regularisers(self, start: Start, point: Tensor) -> Start:
        """The start with its regularisers replaced by those of ``point`` [k]."""
        moved = start.state.point.clone()
        moved[self.rows] = point[self.rows]
        return replace(start, state=replace(start.state, point=moved))

    def candidates(self) -> Tensor:
        """Points to judge at the end, [n, k]: those of the descent, and the last point of the last best-response run."""
        points = list(self.descent.candidates())
        if self._trained is not None and not any(torch.equal(point, self._trained[1].point) for point in points):
            points.append(self._trained[1].point)
        return torch.stack(points)

    def answer(self) -> Answer | None:
        """The last best-response run and its final state; None if there was no such run."""
        if self._trained is None:
            return None
        outer_step, standing = self._trained
        return Answer(self._run(outer_step), standing)

    def state(self) -> SearchState:
        """The state of the descent and of the last best-response run."""
        tensors, numbers = self.descent.state()
        trained: dict[str, Any] | None = None
        if self._trained is not None:
            outer_step, standing = self._trained
            own, said = state_of(standing, PREFIX)
            tensors, trained = {**tensors, **own}, {"outer_step": outer_step, "standing": said}
        return tensors, {"descent": numbers, "trained": trained}

    def load(self, state: SearchState) -> None:
        """Continues with the descent and the last best-response run of a saved state."""
        tensors, numbers = state
        self.descent.load((tensors, numbers["descent"]))
        if (trained := numbers["trained"]) is not None:
            self._trained = trained["outer_step"], standing_of((tensors, trained["standing"]), PREFIX)
