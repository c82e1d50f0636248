"""Truncated reverse mode: only the last steps of the run are differentiated."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimate, Estimator, refuse_what_it_cannot, refuse_without_derivative
from hpo.estimators.pullback import Pullback
from hpo.footprint.sizes import Sizes
from hpo.training.problem import Draw, InnerProblem, OnStep, silent


@dataclass(frozen=True)
class Truncated:
    """Exact adjoint through the last ``window`` updates; the state before them counts as constant (Shaban et al. 2019).

    Earlier effects of a hyperparameter are left out: short-horizon bias (Wu et al. 2018). A window of the whole run or more
    is exact reverse mode, except for the initial weights, which always count as constant.
    """

    window: int = 20
    """Number of updates to go back through."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss [members], and its gradient through the last ``window`` updates, [members, k].

        Raises:
            Refused: the estimator cannot differentiate a hyperparameter of the space, or the optimizer's updates.
        """
        refuse_what_it_cannot("truncated", problem.space)
        refuse_without_derivative("truncated", problem)
        leaf = points.detach().clone().requires_grad_()
        with torch.enable_grad():
            tables = problem.coefficients(leaf)
            initial = problem.initial(draw, tables)
        fixed, pullback = tables.detached(), Pullback(tables)
        steps, members = problem.steps, len(points)
        first = max(0, steps - self.window)
        state = problem.reach(tuple(part.detach() for part in initial), fixed, draw, 0, first, on_step)
        states = problem.advance(state, fixed, draw, first, steps, on_step)
        value, adjoint = pullback.validation_slope(problem, states.pop(), draw)
        for step in reversed(range(first, steps)):
            adjoint = pullback.through_step(problem, draw, states.pop(), step, adjoint)
            on_step(members)
        gradient = pullback.to_coordinates(leaf)
        return Estimate(value, gradient, cost=float(members * (steps + 3 * (steps - first)))).on(points.device)

    def member_steps(self, problem: InnerProblem) -> int:
        """Steps of one member: those of the run, and those of the window once more."""
        return problem.steps + min(problem.steps, self.window)


class TruncatedKind(EstimatorKind):
    """Makes truncated reverse mode with the job's settings."""

    makes = Truncated

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """Truncated reverse mode with the job's window."""
        return Truncated(sizes.spec.method.window_steps)


ESTIMATOR = TruncatedKind()
