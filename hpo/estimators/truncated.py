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
    """Exact adjoint through the last ``window`` updates; the state before them counts as given (Shaban et al. 2019).

    What a hyperparameter did earlier is left out: short-horizon bias (Wu et al. 2018). A window of the whole run or more
    is exact reverse mode, but for the initial weights, which always count as given.
    """

    window: int = 20
    """Updates to go back through."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation losses and hypergradients at points [members, k], one draw each."""
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
        value, adjoint = pullback.validation_slope(problem, states.pop())
        for step in reversed(range(first, steps)):
            adjoint = pullback.through_step(problem, draw, states.pop(), step, adjoint)
            on_step(members)
        gradient = pullback.to_coordinates(leaf)
        return Estimate(value, gradient, cost=float(members * (steps + 3 * (steps - first))))

    def member_steps(self, problem: InnerProblem) -> int:
        """Member-steps that ``on_step`` is given, for each member."""
        return problem.steps + min(problem.steps, self.window)


class TruncatedKind(EstimatorKind):
    """Makes it with the job's settings."""

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """The estimator with the job's settings."""
        return Truncated(sizes.spec.method.window_steps)


ESTIMATOR = TruncatedKind()
