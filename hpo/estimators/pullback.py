"""One update pulled back by automatic differentiation alone, with the cotangents of the tables gathered on the way."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from hpo.noise import Step
from hpo.optimizers.rule import OptimizerState
from hpo.training.coefficients import Coefficients
from hpo.training.problem import Draw, InnerProblem

Judge = Callable[[Tensor], Tensor]
"""Parameters [members, P] -> gradient [members, P] of the loss by which they are judged."""


class Pullback:
    """Cotangents of a run's tables, gathered from the updates that are pulled back.

    Args:
        tables: coefficients, with the graph that leads back to the coordinates.
    """

    def __init__(self, tables: Coefficients) -> None:
        self._tables = tables
        self._fixed = tables.detached()
        self._cotangents = {name: torch.zeros_like(table) for name, table in self._fixed.tables().items()}
        self._in_the_loss = [name for name, table in tables.loss.items() if table.requires_grad]

    @property
    def needs_mixed(self) -> bool:
        """Whether the training gradient itself depends on a coordinate."""
        return bool(self._in_the_loss)

    def validation_slope(self, problem: InnerProblem, state: OptimizerState, draw: Draw) -> tuple[Tensor, OptimizerState]:
        """Validation loss [members] and its gradient by the state; adds the direct derivatives by the loss's tables."""
        parameters = state[0].detach().requires_grad_()
        knobs = {name: table.detach().requires_grad_() for name, table in self._fixed.loss.items()}
        with torch.enable_grad():
            value = problem.validation_loss(parameters, knobs, draw)
            slope, *direct = torch.autograd.grad(value.sum(), [parameters, *knobs.values()], materialize_grads=True)
        self.add(dict(zip(knobs, direct, strict=True)))
        return value.detach(), (slope, *(torch.zeros_like(part) for part in state[1:]))

    def add(self, cotangents: Mapping[str, Tensor]) -> None:
        """Adds cotangents to those gathered so far, by name of the table."""
        for name, part in cotangents.items():
            self._cotangents[name] += part

    def through_step(
        self, problem: InnerProblem, draw: Draw, state: OptimizerState, step: int, adjoint: OptimizerState
    ) -> OptimizerState:
        """Adjoint of the state before update number ``step``, from the adjoint after it; exact, with the Hessian term."""
        leaves = [part.detach().requires_grad_() for part in state]
        with torch.enable_grad():
            parameters = problem.layout.split(leaves[0])
            knobs = {name: table.detach().requires_grad_() for name, table in self._fixed.loss.items()}
            at = problem.at_step(step)
            loss = problem.training_loss(parameters, knobs, problem.batch(draw, at)).sum()
            gradient = problem.layout.join(torch.autograd.grad(loss, parameters, create_graph=True))
            after, now = self._update(problem, tuple(leaves), gradient, at)
        return self._gather(after, leaves, knobs, now, step, adjoint)

    def step_judged(
        self, problem: InnerProblem, draw: Draw, state: OptimizerState, step: int, judge: Judge
    ) -> OptimizerState:
        """State after update number ``step``; the tables gather the derivative of the loss that ``judge`` differentiates.

        The state before the update counts as constant.
        """
        given = [part.detach() for part in state]
        with torch.enable_grad():
            knobs = {name: self._fixed.loss[name].detach().requires_grad_() for name in self._in_the_loss}
            parameters = [part.requires_grad_() for part in problem.layout.split(given[0].clone())]
            at = problem.at_step(step)
            loss = problem.training_loss(parameters, {**self._fixed.loss, **knobs}, problem.batch(draw, at)).sum()
            gradient = problem.layout.join(torch.autograd.grad(loss, parameters, create_graph=self.needs_mixed))
            after, now = self._update(problem, tuple(given), gradient, at)
        reached = tuple(part.detach() for part in after)
        adjoint = (judge(reached[0]), *(torch.zeros_like(part) for part in after[1:]))
        self._gather(after, [], knobs, now, step, adjoint)
        return reached

    def _update(
        self, problem: InnerProblem, state: OptimizerState, gradient: Tensor, step: Step
    ) -> tuple[OptimizerState, dict[str, Tensor]]:
        """State after clip and update, with a graph, and the tables of that step as leaves of the graph."""
        now = {name: table.detach().requires_grad_() for name, table in self._fixed.at(step).items()}
        return problem.apply_update(state, gradient, now, step), now

    def _gather(
        self,
        after: OptimizerState,
        leaves: list[Tensor],
        knobs: dict[str, Tensor],
        now: dict[str, Tensor],
        step: int,
        adjoint: OptimizerState,
    ) -> OptimizerState:
        """Adjoint of the leaves, from that of ``after``; adds to the cotangents of the tables."""
        wanted = [*leaves, *knobs.values(), *now.values()]
        # A part of the state that the update passes on as it was given has no graph.
        moved = [(part, pulled) for part, pulled in zip(after, adjoint, strict=True) if part.requires_grad]
        heads, cotangents = zip(*moved, strict=True)
        found = torch.autograd.grad(heads, wanted, grad_outputs=cotangents, materialize_grads=True)
        for name, part in zip([*knobs, *now], found[len(leaves) :], strict=True):
            if name in self._fixed.scheduled:
                self._cotangents[name][step] += part
            else:
                self._cotangents[name] += part
        return tuple(found[: len(leaves)])

    def to_coordinates(self, leaf: Tensor) -> Tensor:
        """Hypergradient [members, k] by the coordinates ``leaf`` of the tables; initial weights count as constant."""
        live = {name: table for name, table in self._tables.tables().items() if table.requires_grad}
        cotangents = [self._cotangents[name] for name in live]
        (gradient,) = torch.autograd.grad([*live.values()], [leaf], grad_outputs=cotangents)
        return gradient.detach()
