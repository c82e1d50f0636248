"""Implicit differentiation at the trained weights: how a stationary point of the training loss moves with that loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hpo.estimators.antithetic import perturbations
from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimate, Estimator, refuse_what_it_cannot
from hpo.estimators.pullback import Pullback
from hpo.estimators.solvers import POWER_STEPS, Counted, conjugate_gradient, neumann, nystrom
from hpo.footprint.sizes import Sizes
from hpo.training.coefficients import Coefficients, row_of
from hpo.training.problem import Draw, InnerProblem, OnStep, silent

Solver = Literal["cg", "neumann", "nystrom"]


@dataclass(frozen=True)
class Implicit:
    """dL_val / dx = direct - (d2 L_train / dx dw) (H + damping I)^-1 grad_w L_val, by the implicit function theorem.

    It is exact if training has reached a point at which the training gradient vanishes and the solve is exact (Larsen et
    al. 1996; Pedregosa 2016; Lorraine et al. 2020). H belongs to one fixed batch: ``examples`` of the training set,
    evenly spaced, or all of it. A training batch would not do: its gradient does not vanish where the gradient of the
    mean does, and its Hessian has no more rank than it has outputs. Every product of a solve is over the same examples,
    because a solver needs one matrix.

    Dropout and input noise get one draw for each of those examples, the member's own, held through the solve: the mean over
    examples stands in for the mean over noise.

    The optimizer's own decay shifts the stationary point if it acts as a gradient proportional to w: L2 in every rule, and
    decoupled or independent decay under SGD. It is then part of H. Decoupled and independent decay under Adam belong to no
    loss of which the weights would be a stationary point, and are left out.
    """

    solver: Solver = "cg"
    """Method of the solve. cg: conjugate gradients. neumann: a power series. nystrom: a low-rank inverse."""
    solver_steps: int = 20
    """Iterations of cg, terms of neumann, rank of nystrom."""
    damping: float = 1e-3
    """Added to the diagonal of the Hessian."""
    examples: int = 1024
    """Most training examples of the linear system."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss [members] at the trained weights, its implicit gradient [members, k], and the solve's residual.

        Raises:
            Refused: the space has a hyperparameter that the estimator cannot differentiate.
        """
        refuse_what_it_cannot("implicit", problem.space)
        leaf = points.detach().clone().requires_grad_()
        with torch.enable_grad():
            tables = problem.coefficients(leaf)
            initial = problem.initial(draw, tables)
        fixed, pullback, members = tables.detached(), Pullback(tables), len(points)
        state = tuple(part.detach() for part in initial)
        state = problem.reach(state, fixed, draw, 0, problem.steps, on_step)
        value, (slope, *_) = pullback.validation_slope(problem, state, draw)
        system = _System(problem, fixed, draw, state[0], self.examples, on_step)
        product = Counted(system.product)
        solution = self._solve(product, slope, draw)
        rest = slope - product(solution) - self.damping * solution
        pullback.add({name: -part for name, part in system.mixed(solution).items()})
        gradient = pullback.to_coordinates(leaf)
        # The gradient of the system, its products with the Hessian, and one mixed product, over a batch of that size.
        inside = (1 + 2 * (product.count + 1)) * system.size / problem.batch_size
        residual = rest.norm(dim=1) / slope.norm(dim=1)
        return Estimate(value, gradient, cost=members * (problem.steps + inside), residual=residual).on(points.device)

    def _solve(self, product: Counted, right: Tensor, draw: Draw) -> Tensor:
        """(H + damping I)^-1 b, [members, P], by the method ``solver``."""

        def damped(vector: Tensor) -> Tensor:
            return product(vector) + self.damping * vector

        match self.solver:
            case "cg":
                return conjugate_gradient(damped, right, self.solver_steps)
            case "neumann":
                return neumann(damped, right, self.solver_steps, perturbations(draw, right.shape[1:], right))
            case "nystrom":
                parameters = right.shape[1]
                directions = perturbations(draw, (parameters, min(self.solver_steps, parameters)), right)
                return nystrom(product, right, self.damping, directions)

    def member_steps(self, problem: InnerProblem) -> int:
        """Steps that ``on_step`` reports for one member: its run, and the products of the solve."""
        products = {"cg": self.solver_steps, "neumann": POWER_STEPS + self.solver_steps, "nystrom": 2 * self.solver_steps}
        return problem.steps + 1 + products[self.solver]


class _System:
    """Training loss around the trained weights, as a graph that many products go through."""

    def __init__(
        self, problem: InnerProblem, tables: Coefficients, draw: Draw, parameters: Tensor, examples: int, on_step: OnStep
    ) -> None:
        self._layout, self._on_step, self._members = problem.layout, on_step, len(parameters)
        self._decay = _decay(problem, tables)
        self._leaves = [part.detach().requires_grad_() for part in problem.layout.split(parameters)]
        self._knobs = {name: table.detach().requires_grad_() for name, table in tables.loss.items()}
        batch = problem.spread_batch(draw, examples)
        self.size = batch.labels.shape[1]
        with torch.enable_grad():
            loss = problem.training_loss(self._leaves, self._knobs, batch).sum()
            self._slopes = torch.autograd.grad(loss, self._leaves, create_graph=True)

    def product(self, vector: Tensor) -> Tensor:
        """H v, [members, P]."""
        found = self._pulled(self._leaves, vector)
        self._on_step(self._members)
        image = self._layout.join(found)
        return image if self._decay is None else image + self._decay * vector

    def mixed(self, vector: Tensor) -> Mapping[str, Tensor]:
        """Derivative of <v, grad_w L_train> by each table of the loss, in the table's shape."""
        return dict(zip(self._knobs, self._pulled([*self._knobs.values()], vector), strict=True))

    def _pulled(self, wanted: list[Tensor], vector: Tensor) -> tuple[Tensor, ...]:
        parts = self._layout.split(vector)
        return torch.autograd.grad(self._slopes, wanted, grad_outputs=parts, retain_graph=True, materialize_grads=True)


def _decay(problem: InnerProblem, tables: Coefficients) -> Tensor | None:
    """Diagonal that the optimizer's own decay adds to H, [members, P]; None: it adds nothing."""
    if "coupled_decay" in tables.update:
        return problem.layout.expand(tables.update["coupled_decay"])
    if not problem.optimizer.normalises and "shrink" in tables.scheduled:
        rates, shrink = tables.scheduled["learning_rate"], tables.scheduled["shrink"]
        # w <- w - rate g - shrink w stands still where g + (shrink / rate) w = 0, the same ratio at all times.
        place = rates.amax(dim=(1, 2)).argmax(keepdim=True)
        return problem.layout.expand(row_of(shrink, place) / row_of(rates, place))
    return None


class ImplicitKind(EstimatorKind):
    """Makes implicit differentiation with the job's settings."""

    makes = Implicit

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """Implicit differentiation with the job's solver, its number of steps and its damping."""
        method = sizes.spec.method
        return Implicit(method.solver_kind, method.iterations, method.diagonal)


ESTIMATOR = ImplicitKind()
