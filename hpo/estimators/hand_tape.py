"""Tape of a model with hand-written derivatives: as ``Tape``, in a third less time and memory."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from hpo.estimators.tape import Mixed, Tape
from hpo.families.passes import Passes
from hpo.noise import Step
from hpo.optimizers.rule import OptimizerState
from hpo.training.coefficients import Coefficients, Tables
from hpo.training.problem import DIALS, Batch, Draw, InnerProblem

IN_THE_FIT = ("label_smoothing", "mixture_weight")
"""Names of the tables that enter the loss after the model's outputs."""


class HandTape:
    """Training gradient at one state, and curvature products there.

    With J the Jacobian of the outputs by the parameters, u the slope of the loss at the outputs and H_out its Hessian
    there, the gradient is J^T u. Along a vector v the outputs move by J v and their slope by H_out J v. From that slope
    the model's ``r_backward`` makes the Hessian-vector product, its ``backward`` the Gauss-Newton product.

    Args:
        problem: inner problem that defines the training loss.
        passes: hand-written passes of the model at these tensors, for the batch.
        tensors: parameters, each [members, *shape].
        loss: tables of the loss at the step.
        batch: training batch of the step.
        wanted: names of the tables of the loss to differentiate by.
        gauss_newton: whether products are with the Gauss-Newton matrix instead of the Hessian.
    """

    def __init__(
        self,
        problem: InnerProblem,
        passes: Passes,
        tensors: Sequence[Tensor],
        loss: Tables,
        batch: Batch,
        wanted: Collection[str],
        *,
        gauss_newton: bool,
    ) -> None:
        self._problem, self._loss, self._gauss_newton = problem, loss, gauss_newton
        self._wanted = [name for name in loss if name in wanted]
        self._parameters = tensors
        self._knobs = {name: loss[name].detach().requires_grad_() for name in self._wanted if name in IN_THE_FIT}
        self._passes = passes
        self._outputs = passes.forward().requires_grad_()
        with torch.enable_grad():
            fit = problem.data_loss(self._outputs, {**loss, **self._knobs}, batch).sum()
            (self._slope,) = torch.autograd.grad(fit, self._outputs, create_graph=True)
        self._gradients = self._passes.backward(self._slope.detach())
        self.gradient = problem.chained(self._gradients, tensors, loss)
        """Training gradient, [members, P]."""

    @torch.no_grad()
    def curvature_product(self, vector: Tensor) -> tuple[Tensor, Mixed]:
        """Hessian, or Gauss-Newton matrix, times a vector [members, P], and the mixed derivatives by the wanted tables."""
        problem, loss = self._problem, self._loss
        along = problem.layout.split(vector)
        pushed = self._passes.r_forward(problem.multiplied(along, loss))
        with torch.enable_grad():
            curved, *by_knob = torch.autograd.grad(
                self._slope, [self._outputs, *self._knobs.values()], grad_outputs=pushed, materialize_grads=True
            )
        mixed = dict(zip(self._knobs, by_knob, strict=True))
        turned: Sequence[Tensor] = []
        if not self._gauss_newton or len(mixed) < len(self._wanted):
            turned, by_dial = self._passes.r_backward(curved, [name for name in self._wanted if name in DIALS])
            mixed.update(by_dial)
            mixed.update(self._by_multiplier(turned, along))
        if self._gauss_newton:
            turned = self._passes.backward(curved)
        if "l2" in self._wanted:
            mixed["l2"] = self._by_l2(along)
        return problem.chained(turned, along, loss), mixed

    def _by_multiplier(self, turned: Sequence[Tensor], along: Sequence[Tensor]) -> Mixed:
        """Derivative along the direction of <g', w>, with g' the gradient by the multiplied tensors: both factors move."""
        found: Mixed = {}
        groups = zip(self._problem.multipliers, turned, self._parameters, self._gradients, along, strict=True)
        for name, bent, weight, slope, direction in groups:
            if name is not None and name in self._wanted:
                part = (bent * weight).addcmul_(slope, direction).flatten(1).sum(1)
                found[name] = found[name] + part if name in found else part
        return found

    def _by_l2(self, along: Sequence[Tensor]) -> Tensor:
        """<w, v> for every penalised tensor, in the shape of the table ``l2``."""
        found = torch.zeros_like(self._loss["l2"])
        for index in self._problem.penalised:
            found[:, index] = (self._parameters[index] * along[index]).flatten(1).sum(1)
        return found


def record(
    problem: InnerProblem,
    tables: Coefficients,
    wanted: Collection[str],
    draw: Draw,
    state: OptimizerState,
    step: Step,
    *,
    gauss_newton: bool,
) -> Tape | HandTape:
    """Tape of update number ``step`` at ``state``, with hand-written derivatives if the model has them.

    Args:
        problem: inner problem that defines the training loss.
        tables: coefficients of the run.
        wanted: names of the tables of the loss to differentiate by.
        draw: batches and noise of the members.
        state: state before the update.
        step: number of the update.
        gauss_newton: whether products are with the Gauss-Newton matrix instead of the Hessian.
    """
    tensors, batch = problem.layout.split(state[0]), problem.batch(draw, step)
    loss = batch.tables(tables.loss)
    passes = problem.passes(tensors, loss, batch.inputs, batch.noise)
    if passes is not None:
        return HandTape(problem, passes, tensors, loss, batch, wanted, gauss_newton=gauss_newton)
    by_graph = Tape.record_fit if gauss_newton else Tape.record
    return by_graph(problem, tables, wanted, draw, state, step)
