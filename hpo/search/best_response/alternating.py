"""Both together: hypergradients tune what the optimizer does, a best response the regularisers, in turns."""

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
"""Of the tensors of the last best-response run in a saved state."""


@dataclass(frozen=True)
class MaskedEstimator:
    """An estimator whose gradient is set to 0 in the rows that a best response tunes."""

    estimator: Estimator
    rows: tuple[int, ...]

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """See the protocol."""
        found = self.estimator.estimate(problem, points, draw, on_step)
        gradient = found.gradient.clone()
        gradient[:, list(self.rows)] = 0.0
        return replace(found, gradient=gradient)

    def member_steps(self, problem: InnerProblem) -> int:
        """See the protocol."""
        return self.estimator.member_steps(problem)


class Alternating:
    """Odd outer steps follow the hypergradient with the regularisers held, even ones are whole best-response runs.

    A best-response run begins at the present point, with seeds of its own, and leaves its last regularisers there. Of
    several starts it is the leader's, and all of them go on with the regularisers that it found: they differ in what the
    optimizer does, and the next hypergradients judge each of them anew.
    """

    def __init__(self, context: SearchContext, objectives: type[Objectives]) -> None:
        self.context, self.objectives = context, objectives
        self.rows = answered(context.problem)
        self.descent = Descent(replace(context, estimator=MaskedEstimator(context.estimator, tuple(self.rows))))
        self._trained: tuple[int, Standing] | None = None
        """Outer step of the last best-response run, and where it ended."""

    @property
    def readings(self) -> Readings:
        """See the protocol."""
        return self.descent.readings

    @readings.setter
    def readings(self, readings: Readings) -> None:
        self.descent.readings = readings

    @property
    def start(self) -> Tensor:
        """See the protocol."""
        return self.descent.start

    def begin(self) -> OuterStep:
        """See the protocol."""
        return self.descent.begin()

    def advance(self, outer_step: int) -> OuterStep:
        """See the protocol."""
        return self.descent.advance(outer_step) if outer_step % 2 else self._respond(outer_step)

    def _run(self, outer_step: int) -> BestResponseRun:
        context = self.context
        draw = context.problem.draw(context.seeds(Purpose.RESPONSE, outer_step, context.spec.inner.seeds))
        return BestResponseRun(context.problem, self.objectives, context.spec.method.best_response_settings, draw)

    def _respond(self, outer_step: int) -> OuterStep:
        """One best-response run from the leader's point."""
        run, leader = self._run(outer_step), self.descent.leader
        block = advanced(self.context, run, run.begin(leader.trail.point), self.context.spec.inner.steps, outer_step)
        self._trained = outer_step, block.after
        self.descent.living = tuple(self._with_regularisers(start, block.after.point) for start in self.descent.living)
        step = report(self.context, run, block)
        self.readings = self.readings.dropping(step.dropped_members)
        return step

    def _with_regularisers(self, start: Start, point: Tensor) -> Start:
        """A start with the regularisers of that point."""
        moved = start.trail.point.clone()
        moved[self.rows] = point[self.rows]
        return replace(start, trail=replace(start.trail, point=moved))

    def candidates(self) -> Tensor:
        """See the protocol: those of the hypergradient, and the last values of the last best-response run."""
        points = list(self.descent.candidates())
        if self._trained is not None and not any(torch.equal(point, self._trained[1].point) for point in points):
            points.append(self._trained[1].point)
        return torch.stack(points)

    def answer(self) -> Answer | None:
        """See the protocol."""
        if self._trained is None:
            return None
        outer_step, standing = self._trained
        return Answer(self._run(outer_step), standing)

    def state(self) -> SearchState:
        """See the protocol."""
        tensors, numbers = self.descent.state()
        trained: dict[str, Any] | None = None
        if self._trained is not None:
            outer_step, standing = self._trained
            own, said = state_of(standing, PREFIX)
            tensors, trained = {**tensors, **own}, {"outer_step": outer_step, "standing": said}
        return tensors, {"descent": numbers, "trained": trained}

    def load(self, state: SearchState) -> None:
        """See the protocol."""
        tensors, numbers = state
        self.descent.load((tensors, numbers["descent"]))
        if (trained := numbers["trained"]) is not None:
            self._trained = trained["outer_step"], standing_of((tensors, trained["standing"]), PREFIX)
