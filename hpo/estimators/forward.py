"""Forward mode: tangents of the optimizer state are carried along with the run. Memory does not grow with the steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from hpo.estimators.antithetic import average, perturbations
from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimate, Estimator, refuse_what_it_cannot, refuse_without_derivative
from hpo.footprint.sizes import Sizes
from hpo.noise import Step
from hpo.optimizers.rule import OptimizerState
from hpo.training.coefficients import Coefficients, Tables, row_of
from hpo.training.problem import Batch, Draw, InnerProblem, OnStep, silent

OUTPUT_ALONE: Any = (None, 0)
"""Axes of the outputs under ``vmap``: none for the output, which does not depend on the tangent; the first for its
derivative."""
Distribution = Literal["rademacher", "gaussian"]


@dataclass(frozen=True)
class Forward:
    """Derivative of the run along one tangent for each coordinate, or along a few random ones.

    Each update is pushed forward whole: the schedule, the gradient (forward over reverse), the clip, the rule (forward-HG
    of Franceschi et al. 2017). With ``samples`` the estimate is the mean of v (dL / dv) over random v with E[v v^T] = I.
    It is unbiased; its variance grows with k, its cost does not (Shen et al. 2024, (FG)^2U).
    """

    samples: int | None = None
    """Number of random tangents; None: one tangent for each coordinate, which is exact."""
    distribution: Distribution = "rademacher"
    """Distribution of a random tangent's entries. Signs have the smaller variance: |g|^2 - g_i^2 against |g|^2 + g_i^2."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss [members] and its gradient [members, k], with a standard error if tangents are random.

        Raises:
            Refused: the estimator cannot differentiate a hyperparameter of the space, or the optimizer's updates.
        """
        refuse_what_it_cannot("forward", problem.space)
        refuse_without_derivative("forward", problem)
        directions = self._directions(points, draw)
        value, slopes = self._along(problem, points.detach().contiguous(), directions, draw, on_step)
        cost = float(len(points) * problem.steps * (1 + 2 * len(directions)))
        if self.samples is None:
            return Estimate(value, slopes.T.to(points.dtype), cost).on(points.device)
        terms = (slopes.to(points.device, points.dtype)[..., None] * directions).transpose(0, 1)
        gradient, stderr, _ = average(terms)
        return Estimate(value, gradient, cost, stderr=stderr).on(points.device)

    def member_steps(self, problem: InnerProblem) -> int:
        """Steps of one member's run: ``problem.steps``."""
        return problem.steps

    def _directions(self, points: Tensor, draw: Draw) -> Tensor:
        """Tangents of the points, [tangents, members, k]: unit vectors, or random ones."""
        members, coordinates = points.shape
        if self.samples is None:
            return torch.eye(coordinates, dtype=points.dtype, device=points.device)[:, None].expand(-1, members, -1)
        normal = perturbations(draw, (self.samples, coordinates), points).transpose(0, 1)
        return normal if self.distribution == "gaussian" else torch.where(normal < 0, -1.0, 1.0).to(points.dtype)

    @staticmethod
    def _along(
        problem: InnerProblem, points: Tensor, directions: Tensor, draw: Draw, on_step: OnStep
    ) -> tuple[Tensor, Tensor]:
        """Validation loss [members], and its derivative along each direction [tangents, members]."""

        def tables(at: Tensor) -> tuple[Tables, Tables, Tables, Tables]:
            found = problem.coefficients(at)
            return found.initial, found.loss, found.update, found.scheduled

        # Gradients are needed inside of the transforms whatever the caller's mode; no graph is kept.
        with torch.enable_grad():
            groups, tangents = pushed_forward(tables, (points,), (directions,))
            _, loss, update, scheduled = groups
            _, loss_tangents, update_tangents, scheduled_tangents = tangents

            def initial(found: Tables) -> OptimizerState:
                return problem.initial(draw, Coefficients(found, loss, update, scheduled))

            state, state_tangents = pushed_forward(initial, (groups[0],), (tangents[0],))
            for number in range(problem.steps):
                step = problem.at_step(number)
                batch = problem.batch(draw, step)
                primals = (state, loss, {**update, **at(scheduled, step)})
                along = (state_tangents, loss_tangents, {**update_tangents, **at(scheduled_tangents, step, dim=1)})
                state, state_tangents = pushed_forward(one_step(problem, batch, step), primals, along)
                on_step(len(points))

            def validation(parameters: Tensor, found: Tables) -> Tensor:
                return problem.validation_loss(parameters, found, draw)

            value, slopes = pushed_forward(validation, (state[0], loss), (state_tangents[0], loss_tangents))
        return value, slopes


def at(tables: Tables, step: Step, dim: int = 0) -> dict[str, Tensor]:
    """Tables over time at one step; ``dim`` is the axis of time."""
    return {name: row_of(table, step, dim) for name, table in tables.items()}


def one_step(problem: InnerProblem, batch: Batch, step: Step) -> Callable[[OptimizerState, Tables, Tables], OptimizerState]:
    """Function (state, tables of the loss, tables of the step) -> state after the update, ready to be transformed."""

    def advanced(state: OptimizerState, loss: Tables, tables: Tables) -> OptimizerState:
        def total(leaves: list[Tensor]) -> Tensor:
            return problem.training_loss(leaves, loss, batch).sum()

        gradient = problem.layout.join(grad(total)(problem.layout.split(state[0])))
        return problem.apply_update(state, gradient, tables, step)

    return advanced


def pushed_forward(function: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """(output, its derivative along each tangent); leaves of the tangents have one leading axis more than the primals'."""

    def along(each: tuple[Any, ...]) -> Any:
        return jvp(function, primals, each)

    found: tuple[Any, Any] = vmap(along, out_dims=OUTPUT_ALONE, randomness="same")(tangents)
    return found


class ForwardKind(EstimatorKind):
    """Makes forward mode with the job's settings."""

    makes = Forward

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """Forward mode with the job's number of random tangents, or exact."""
        return Forward(sizes.spec.method.samples)


ESTIMATOR = ForwardKind()
