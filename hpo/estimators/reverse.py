"""Reverse hypergradient by state replay: exact or bounded adjoint, O(T) or O(sqrt T) states.

The run goes forward without a graph and keeps optimizer states; then it goes back step by step. The adjoint of one
update needs the vector-Jacobian product of the elementwise update rule and one Hessian-vector product of the training
loss, so only one step's activations are ever alive (Maclaurin et al. 2015; Franceschi et al. 2017, reverse-HG).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hpo.coefficients import Coefficients
from hpo.estimators.protocol import Estimate
from hpo.inner import Draw, InnerProblem, OnStep, silent
from hpo.updates import State


@dataclass(frozen=True)
class Reverse:
    """Reverse mode with ``checkpointing`` "none" (every state is kept) or "sqrt" (every sqrt(T)-th, the rest replayed).

    The "bounded" adjoint lets the adjoint of the parameters grow by at most ``growth_budget`` over a run: each backward
    step lambda <- a + s h, with a from the update rule and h the Hessian-vector product, takes the largest s in [0, 1]
    for which |lambda| <= (1 + ln(growth_budget) / T) |a|. Near the edge of chaos the exact adjoint (s = 1) is noise of
    any size; where nothing grows the two are equal.
    """

    checkpointing: Literal["none", "sqrt"] = "sqrt"
    adjoint: Literal["bounded", "exact"] = "bounded"
    growth_budget: float = 10.0

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """See the protocol."""
        leaf = points.detach().clone().requires_grad_()
        with torch.enable_grad():
            tables = problem.coefficients(leaf)
            initial = problem.initial(draw, tables)
        fixed = tables.detached()
        steps, members = problem.steps, points.shape[0]
        segment = 1 if self.checkpointing == "none" else math.isqrt(steps - 1) + 1
        kept: list[State] = []
        state: State = tuple(part.detach() for part in initial)
        for start in range(0, steps, segment):
            kept.append(state)
            # The last segment is about to be replayed anyway, but its end is what the loss is taken at.
            for step in range(start, min(start + segment, steps)):
                state = problem.advance(state, fixed, draw, step, step + 1, on_step)[-1]
        value, sweep = _Sweep.at_end(problem, fixed, state)
        growth = math.log(self.growth_budget) / steps if self.adjoint == "bounded" else None
        for start in reversed(range(0, steps, segment)):
            stop = min(start + segment, steps)
            states = problem.advance(kept.pop(), fixed, draw, start, stop - 1, on_step)
            for step in reversed(range(start, stop)):
                sweep.back(problem, fixed, draw, states.pop(), step, growth)
                on_step(members)
        gradient = sweep.pull_back(tables, initial, leaf)
        # A backward step takes a gradient and a Hessian-vector product where on_step was told of one step.
        cost = float(members * (self.member_steps(problem) + 2 * steps))
        if growth is None:
            return Estimate(value, gradient, cost)
        return Estimate(value, gradient, cost, sweep.bounded / steps, sweep.scales / steps)

    def member_steps(self, problem: InnerProblem) -> int:
        """See the protocol."""
        steps = problem.steps
        segment = 1 if self.checkpointing == "none" else math.isqrt(steps - 1) + 1
        return 2 * steps + (0 if segment == 1 else steps - len(range(0, steps, segment)))


class _Sweep:
    """The backward pass at one moment: adjoint of the state, and cotangents of the coefficient tables."""

    def __init__(self, adjoint: State, tables: Coefficients, loss: Mapping[str, Tensor]) -> None:
        self.adjoint = adjoint
        self.cotangents = {name: torch.zeros_like(table) for name, table in tables.tables().items()} | dict(loss)
        self.bounded = adjoint[0].new_zeros(len(adjoint[0]))
        self.scales = torch.zeros_like(self.bounded)

    @classmethod
    def at_end(cls, problem: InnerProblem, tables: Coefficients, state: State) -> tuple[Tensor, "_Sweep"]:
        """Validation loss [members], and the sweep that starts from its gradient."""
        parameters = state[0].detach().requires_grad_()
        leaves = {name: table.detach().requires_grad_() for name, table in tables.loss.items()}
        with torch.enable_grad():
            value, _ = problem.evaluate(parameters, leaves, problem.data.validation)
            slope, *direct = torch.autograd.grad(value.sum(), [parameters, *leaves.values()], materialize_grads=True)
        rest = tuple(torch.zeros_like(part) for part in state[1:])
        return value.detach(), cls((slope, *rest), tables, dict(zip(leaves, direct, strict=True)))

    def back(
        self, problem: InnerProblem, tables: Coefficients, draw: Draw, state: State, step: int, growth: float | None
    ) -> None:
        """Pull the adjoint back through update number ``step``, which began from ``state``."""
        leaves = [part.detach().requires_grad_() for part in problem.layout.split(state[0])]
        knobs = {name: table.detach().requires_grad_() for name, table in tables.loss.items()}
        with torch.enable_grad():
            loss = problem.training_loss(leaves, knobs, problem.batch(draw, step)).sum()
            slopes = torch.autograd.grad(loss, leaves, create_graph=True)
        gradient = problem.layout.join([slope.detach() for slope in slopes])
        elementwise, to_gradient = self._through_update(problem, tables, state, gradient, step)
        found = torch.autograd.grad(
            slopes, [*leaves, *knobs.values()], grad_outputs=problem.layout.split(to_gradient), materialize_grads=True
        )
        hessian, mixed = problem.layout.join(found[: len(leaves)]), dict(zip(knobs, found[len(leaves) :], strict=True))
        if growth is not None:
            scale = bounded_scale(elementwise[0], hessian, growth)
            self.bounded += scale < 1
            self.scales += scale
            hessian = hessian * scale[:, None]
            mixed = {name: part * scale.view(-1, *[1] * (part.dim() - 1)) for name, part in mixed.items()}
        for name, part in mixed.items():
            self.cotangents[name] += part
        self.adjoint = (elementwise[0] + hessian, *elementwise[1:])

    def _through_update(
        self, problem: InnerProblem, tables: Coefficients, state: State, gradient: Tensor, step: int
    ) -> tuple[State, Tensor]:
        """Vector-Jacobian product of clip and update: adjoint of (state, gradient); adds to the cotangents."""
        inputs = [part.detach().requires_grad_() for part in (*state, gradient)]
        leaves = {name: table.detach().requires_grad_() for name, table in tables.at(step).items()}
        with torch.enable_grad():
            after = problem.apply_update(tuple(inputs[:-1]), inputs[-1], leaves, step)
            found = torch.autograd.grad(after, [*inputs, *leaves.values()], grad_outputs=self.adjoint)
        for name, cotangent in zip(leaves, found[len(inputs) :], strict=True):
            if name in tables.scheduled:
                self.cotangents[name][step] = cotangent
            else:
                self.cotangents[name] += cotangent
        return tuple(found[: len(state)]), found[len(state)]

    def pull_back(self, tables: Coefficients, initial: State, leaf: Tensor) -> Tensor:
        """Hypergradient [members, k]: through the tables and the initial state to the coordinates."""
        outputs = {name: table for name, table in tables.tables().items() if table.requires_grad}
        heads = [*outputs.values()]
        cotangents = [self.cotangents[name] for name in outputs]
        if initial[0].requires_grad:
            heads.append(initial[0])
            cotangents.append(self.adjoint[0])
        (gradient,) = torch.autograd.grad(heads, [leaf], grad_outputs=cotangents)
        return gradient.detach()


def bounded_scale(elementwise: Tensor, hessian: Tensor, growth: float) -> Tensor:
    """Largest s in [0, 1] with |a + s h| <= (1 + growth) |a|, for each member; 1 where h is 0.

    Args:
        elementwise: a, [members, P].
        hessian: h, [members, P].
        growth: tau >= 0.

    Returns:
        s = min(1, (-b + sqrt(b^2 + |h|^2 ((1 + tau)^2 - 1) |a|^2)) / |h|^2) with b = <a, h>, [members].
    """
    products = [
        torch.linalg.vecdot(x, y).double()
        for x, y in ((elementwise, hessian), (hessian, hessian), (elementwise, elementwise))
    ]
    inner, curved, plain = products
    slack = ((1 + growth) ** 2 - 1) * plain
    root = (inner.square() + curved * slack).sqrt()
    # (-b + root) / |h|^2 = slack / (b + root): the form that does not cancel for b > 0.
    direct = (root - inner) / torch.where(curved > 0, curved, 1.0)
    stable = slack / torch.where(inner + root > 0, inner + root, 1.0)
    scale = torch.where(inner > 0, stable, direct).clamp(0.0, 1.0)
    return torch.where(curved > 0, scale, 1.0).to(elementwise.dtype)
