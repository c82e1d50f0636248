"""Training gradient of one step, together with the graph from which its derivatives are taken."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.layout import Layout
from hpo.noise import Step
from hpo.optimizers.rule import OptimizerState
from hpo.training.coefficients import Coefficients
from hpo.training.problem import Draw, InnerProblem

Mixed = dict[str, Tensor]
"""Derivative of <gradient, vector> by each wanted table of the loss, in the table's shape."""


@dataclass(frozen=True)
class Tape:
    """Training gradient at one state, differentiable once more.

    A tape holds the activations of its step in memory.
    """

    step: Step
    state: OptimizerState
    gradient: Tensor
    """Training gradient, [members, P]."""
    layout: Layout
    leaves: Sequence[Tensor]
    knobs: dict[str, Tensor]
    """Tables of the loss by which the gradient can be differentiated."""
    slopes: Sequence[Tensor]
    """Training gradient, one tensor for each parameter tensor, with its graph."""
    fit: "OutputSlope | None" = None
    """Parts of the gradient for products with the Gauss-Newton matrix; None: products are with the Hessian."""

    @classmethod
    def record(
        cls,
        problem: InnerProblem,
        tables: Coefficients,
        wanted: Collection[str],
        draw: Draw,
        state: OptimizerState,
        step: Step,
    ) -> "Tape":
        """Tape of update number ``step`` at ``state``; ``wanted`` names the tables of the loss to differentiate by."""
        leaves, knobs = problem.layout.leaves(state[0]), _knobs(tables, wanted)
        with torch.enable_grad():
            loss = problem.training_loss(leaves, {**tables.loss, **knobs}, problem.batch(draw, step)).sum()
            slopes = torch.autograd.grad(loss, leaves, create_graph=True)
        gradient = problem.layout.join([slope.detach() for slope in slopes])
        return cls(step, state, gradient, problem.layout, leaves, knobs, slopes)

    @classmethod
    def record_fit(
        cls,
        problem: InnerProblem,
        tables: Coefficients,
        wanted: Collection[str],
        draw: Draw,
        state: OptimizerState,
        step: Step,
    ) -> "Tape":
        """Tape for Gauss-Newton products: the gradient is taken in two parts, by the outputs and through the model."""
        leaves, knobs = problem.layout.leaves(state[0]), _knobs(tables, wanted)
        batch = problem.batch(draw, step)
        loss = batch.tables({**tables.loss, **knobs})
        with torch.enable_grad():
            outputs = problem.outputs(leaves, loss, batch.inputs, batch.noise)
            (slope,) = torch.autograd.grad(problem.data_loss(outputs, loss, batch).sum(), outputs, create_graph=True)
            through_fit = torch.autograd.grad(outputs, leaves, grad_outputs=slope, create_graph=True)
            slopes, penalty = list(through_fit), None
            if "l2" in loss:
                penalty = torch.autograd.grad(
                    problem.penalty(leaves, loss["l2"]).sum(), leaves, create_graph=True, materialize_grads=True
                )
                slopes = [fit + more for fit, more in zip(through_fit, penalty, strict=True)]
        gradient = problem.layout.join([part.detach() for part in slopes])
        fit = OutputSlope(outputs, slope, through_fit, penalty)
        return cls(step, state, gradient, problem.layout, leaves, knobs, slopes, fit)

    def curvature_product(self, vector: Tensor) -> tuple[Tensor, Mixed]:
        """Hessian, or Gauss-Newton matrix, of the training loss times a vector [members, P], and mixed derivatives.

        A tape gives one product: its graph is freed.
        """
        parts = self.layout.split(vector)
        if self.fit is not None:
            return self._gauss_newton_product(self.fit, parts)
        inputs = [*self.leaves, *self.knobs.values()]
        found = torch.autograd.grad(self.slopes, inputs, grad_outputs=parts, materialize_grads=True)
        count = len(self.leaves)
        return self.layout.join(found[:count]), dict(zip(self.knobs, found[count:], strict=True))

    def _gauss_newton_product(self, fit: "OutputSlope", parts: Sequence[Tensor]) -> tuple[Tensor, Mixed]:
        """J^T H_out J v, with J of the outputs by the parameters and H_out the Hessian of the loss by the outputs.

        The gradient is J^T u with u the slope of the loss at the outputs, so its derivative by u along v is J v
        (Schraudolph 2002 for the product; Townsend 2017 for J v from two reverse passes).
        """
        (pushed,) = torch.autograd.grad(fit.through_model, fit.slope, grad_outputs=parts, retain_graph=True)
        (curved,) = torch.autograd.grad(fit.slope, fit.outputs, grad_outputs=pushed, retain_graph=True)
        found = list(torch.autograd.grad(fit.outputs, self.leaves, grad_outputs=curved, retain_graph=True))
        if fit.penalty is not None:
            bent = torch.autograd.grad(
                fit.penalty, self.leaves, grad_outputs=parts, retain_graph=True, materialize_grads=True
            )
            found = [product + more for product, more in zip(found, bent, strict=True)]
        mixed: Mixed = {}
        if self.knobs:
            by_knob = torch.autograd.grad(self.slopes, [*self.knobs.values()], grad_outputs=parts, materialize_grads=True)
            mixed = dict(zip(self.knobs, by_knob, strict=True))
        return self.layout.join(found), mixed


@dataclass(frozen=True)
class OutputSlope:
    """A gradient in two parts, each with its graph."""

    outputs: Tensor
    slope: Tensor
    """Gradient of the loss by the outputs, in their shape."""
    through_model: Sequence[Tensor]
    """Gradient of the data loss by tensor: the transposed Jacobian of the outputs times the slope."""
    penalty: Sequence[Tensor] | None
    """Gradient of the penalty by tensor; None: there is no penalty."""


def _knobs(tables: Coefficients, wanted: Collection[str]) -> dict[str, Tensor]:
    return {name: table.detach().requires_grad_() for name, table in tables.loss.items() if name in wanted}
