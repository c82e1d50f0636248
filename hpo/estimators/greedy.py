"""One-step lookahead at every step: each update is judged by the validation loss right after it."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimate, Estimator, refuse_what_it_cannot, refuse_without_derivative
from hpo.estimators.pullback import Pullback
from hpo.footprint.sizes import Sizes
from hpo.optimizers.rule import OptimizerState
from hpo.training.coefficients import Tables
from hpo.training.problem import Draw, InnerProblem, OnStep, silent


@dataclass(frozen=True)
class Greedy:
    """sum_t <grad L_val(w_(t+1)), d w_(t+1) / d hyperparameters>, with every w_t held constant.

    This is the last term of the exact derivative at each step, as in hypergradient descent (Baydin et al. 2018) and T1-T2
    (Luketina et al. 2016). The changes L_val(w_(t+1)) - L_val(w_t) sum to the final loss, so it is the derivative of that
    loss without any later effect of an update: strongly biased to what helps at once (Wu et al. 2018).

    As in those papers the validation loss of a step is taken on a batch. Batches go round the validation split in its own
    order, which the task has shuffled, so the estimate has no randomness of its own.
    """

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss [members] at the end of the run, and the sum of the one-step gradients [members, k].

        Raises:
            Refused: the estimator cannot differentiate a hyperparameter of the space, or the optimizer's updates.
        """
        refuse_what_it_cannot("greedy", problem.space)
        refuse_without_derivative("greedy", problem)
        leaf = points.detach().clone().requires_grad_()
        with torch.enable_grad():
            tables = problem.coefficients(leaf)
            initial = problem.initial(draw, tables)
        fixed, pullback = tables.detached(), Pullback(tables)
        steps, members = problem.steps, len(points)
        state: OptimizerState = tuple(part.detach() for part in initial)
        for step in range(steps):
            judge = partial(_slope, problem, fixed.loss, draw, step)
            state = pullback.step_judged(problem, draw, state, step, judge)
            on_step(members)
        value, _ = pullback.validation_slope(problem, state, draw)
        gradient = pullback.to_coordinates(leaf)
        look = min(1.0, problem.validation_batches)
        return Estimate(value, gradient, cost=members * steps * (1 + look + 2 * pullback.needs_mixed)).on(points.device)

    def member_steps(self, problem: InnerProblem) -> int:
        """Steps of one member's run: ``problem.steps``."""
        return problem.steps


def _slope(problem: InnerProblem, loss: Tables, draw: Draw, step: int, parameters: Tensor) -> Tensor:
    """Gradient of the loss on validation batch number ``step`` by the parameters, [members, P]."""
    leaf = parameters.detach().requires_grad_()
    with torch.enable_grad():
        value = problem.validation_loss(leaf, loss, draw, step)
    (slope,) = torch.autograd.grad(value.sum(), [leaf])
    return slope


class GreedyKind(EstimatorKind):
    """Makes one-step lookahead, which has no settings."""

    makes = Greedy

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """One-step lookahead."""
        return Greedy()


ESTIMATOR = GreedyKind()
