"""Reverse hypergradient by state replay: exact or bounded adjoint, O(T) or O(sqrt T) states.

The run goes forward without a graph and keeps optimizer states; then it goes back step by step. The adjoint of one
update needs the vector-Jacobian product of the elementwise update rule and one Hessian-vector product of the training
loss (Maclaurin et al. 2015; Franceschi et al. 2017, reverse-HG).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hpo.estimators.facts.storage import storage_in_force
from hpo.estimators.hand_tape import HandTape, record
from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimate, Estimator, ReverseMode, refuse_without_derivative
from hpo.estimators.tape import Tape
from hpo.footprint.memory import at_once
from hpo.footprint.sizes import Sizes
from hpo.optimizers.rule import Applied, OptimizerState
from hpo.training.coefficients import Coefficients
from hpo.training.problem import Draw, InnerProblem, OnStep, groups, silent
from windtunnel.types.hyperparameters import IN_THE_LOSS


@dataclass(frozen=True)
class Reverse(ReverseMode):
    """Reverse mode by state replay.

    ``checkpointing`` says which optimizer states the forward pass keeps: "none" every one, "sqrt" every sqrt(T)-th, a
    number N every N-th. The rest are replayed, one segment at a time. The tapes of a segment's last ``problem.tapes`` steps
    are kept from its replay.

    The "bounded" adjoint lets the adjoint of the parameters grow by at most ``growth_budget`` over a run: each backward
    step lambda <- a + s h, with a from the update rule and h the Hessian-vector product, takes the largest s in [0, 1]
    for which |lambda| <= (1 + ln(growth_budget) / T) |a|. Near the edge of chaos the exact adjoint (s = 1) is noise of
    any size; where nothing grows the two are equal. "gauss_newton" is bounded too, with h from the Gauss-Newton matrix
    of the training loss, which leaves out the curvature of the model.
    """

    checkpointing: Literal["none", "sqrt"] | int = "sqrt"
    adjoint: Literal["bounded", "exact", "gauss_newton"] = "bounded"
    growth_budget: float = 10.0

    engine: ClassVar[Literal["population", "higher"]] = "population"

    def exact(self) -> "Reverse":
        """Reverse mode with the exact adjoint and the same storage."""
        return replace(self, adjoint="exact")

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss [members], its hypergradient [members, k], and growth and scale of each backward step.

        Members that are not faster as one computation are differentiated in groups.

        Raises:
            Refused: the derivative of the optimizer's updates is not that of the run.
        """
        refuse_without_derivative("reverse", problem)
        parts = groups(len(points), problem.together)
        if len(parts) > 1:
            return joined([self.estimate(problem, points[rows], draw.of(rows), on_step) for rows in parts])
        leaf = points.detach().clone().requires_grad_()
        with torch.enable_grad():
            tables = problem.coefficients(leaf)
            initial = problem.initial(draw, tables)
        fixed, steps, starts = tables.detached(), problem.steps, self._starts(problem.steps)
        kept: list[OptimizerState] = [tuple(part.detach() for part in initial)]
        for start, following in pairwise(starts):
            kept.append(problem.reach(kept[-1], fixed, draw, start, following, on_step))
        states = problem.advance(kept.pop(), fixed, draw, starts[-1], steps, on_step)
        sweep = _Sweep(problem, tables, draw, states.pop(), self)
        stop = steps
        tapes: dict[int, Tape | HandTape] = {}
        for start in reversed(starts):
            if start != starts[-1]:
                taped = max(start, stop - problem.tapes)
                states = problem.advance(kept.pop(), fixed, draw, start, min(taped, stop - 1), on_step)
                for step in range(taped, stop - 1):
                    tapes[step] = sweep.tape(states[-1], step)
                    states.append(problem.stepped(states[-1], tapes[step].gradient, fixed, problem.at_step(step)))
                    on_step(len(points))
            for step in reversed(range(start, stop)):
                tape = tapes.pop(step) if step in tapes else sweep.tape(states[-1], step)
                sweep.back(tape, states.pop(), step)
                on_step(len(points))
            stop = start
        return sweep.estimate(initial, leaf, len(points) * self.cost(problem))

    def _starts(self, steps: int) -> range:
        """Steps before which a state is kept."""
        match self.checkpointing:
            case "none":
                return range(steps)
            case "sqrt":
                return range(0, steps, math.isqrt(steps - 1) + 1)
            case int(every):
                return range(0, steps, every)

    def limit(self, steps: int) -> float | None:
        """Largest logarithm tau of the growth in one backward step; None: no bound."""
        return None if self.adjoint == "exact" else math.log(self.growth_budget) / steps

    def cost(self, problem: InnerProblem) -> float:
        """Gradient evaluations of one member: those of its runs, and one curvature product for each backward step.

        A Hessian-vector product counts as two. A Gauss-Newton product counts as 4/3: two passes through derivatives, each
        two thirds of a gradient; mixed derivatives need a Hessian-vector product as well.
        """
        mixed = any(item.name in IN_THE_LOSS for item in problem.space.hyperparameters)
        product = 2.0 if self.adjoint != "gauss_newton" else 4 / 3 + (2.0 if mixed else 0.0)
        return self.member_steps(problem) - self._computed_once(problem) + product * problem.steps

    def _computed_once(self, problem: InnerProblem) -> int:
        """Number of replayed gradients that a backward step reuses: one for each kept tape but a segment's last."""
        lengths = [stop - start for start, stop in pairwise(self._starts(problem.steps))]
        return sum(max(0, min(length, problem.tapes) - 1) for length in lengths)

    def member_steps(self, problem: InnerProblem) -> int:
        """Steps of one member: forward, backward and replayed ones."""
        starts = self._starts(problem.steps)
        return 2 * problem.steps + starts[-1] - (len(starts) - 1)


class _Sweep:
    """Backward pass after some of its steps: adjoint of the state, and cotangents of the coefficient tables.

    Args:
        problem: inner problem of the run.
        tables: coefficients of the run, with the graph that leads back to the coordinates.
        draw: batches and noise of the run.
        end: state after the last update.
        how: settings of the adjoint.
    """

    def __init__(self, problem: InnerProblem, tables: Coefficients, draw: Draw, end: OptimizerState, how: Reverse) -> None:
        self.problem, self.tables, self.fixed, self.draw, self.after = problem, tables, tables.detached(), draw, end
        self.gauss_newton = how.adjoint == "gauss_newton"
        self.limit = how.limit(problem.steps)
        self.wanted = tables.live()
        self.in_the_update = [name for name in self.wanted if name in tables.update or name in tables.scheduled]
        self.cotangents = {name: torch.zeros_like(table) for name, table in self.wanted.items()}
        parameters = end[0].detach().requires_grad_()
        knobs = {name: table.detach().requires_grad_() for name, table in tables.loss.items() if name in self.wanted}
        with torch.enable_grad():
            value = problem.validation_loss(parameters, {**self.fixed.loss, **knobs}, draw)
            slope, *direct = torch.autograd.grad(value.sum(), [parameters, *knobs.values()], materialize_grads=True)
        self.cotangents |= dict(zip(knobs, direct, strict=True))
        self.value = value.detach()
        self.adjoint: OptimizerState = (slope, *(torch.zeros_like(part) for part in end[1:]))
        self.growth = slope.new_zeros(problem.steps, len(slope))
        self.scales = torch.ones_like(self.growth)

    @torch.no_grad()
    def tape(self, state: OptimizerState, step: int) -> Tape | HandTape:
        """Tape of update number ``step`` at ``state``: its gradient, and the means to differentiate it."""
        at = self.problem.at_step(step)
        return record(self.problem, self.fixed, self.wanted, self.draw, state, at, gauss_newton=self.gauss_newton)

    @torch.no_grad()
    def back(self, tape: Tape | HandTape, state: OptimizerState, step: int) -> None:
        """Pulls the adjoint back through update number ``step``, from ``state``, on the tape of that update."""
        problem, length = self.problem, torch.linalg.vector_norm(self.adjoint[0], dim=1)
        at = problem.at_step(step)
        update = Applied(state, self.after, tape.gradient, self.fixed.at(at), problem.layout, at)
        elementwise, to_gradient, found = problem.rule.pull_back(update, self.adjoint, self.in_the_update)
        curved, mixed = tape.curvature_product(to_gradient)
        whole = elementwise[0] + curved
        self.growth[step] = log_ratio(torch.linalg.vector_norm(whole, dim=1), length)
        if self.limit is not None:
            scale = self.scales[step] = bounded_scale(elementwise[0], curved, self.limit)
            whole = torch.addcmul(elementwise[0], curved, scale[:, None])
            mixed = {name: part * scale.view(-1, *[1] * (part.dim() - 1)) for name, part in mixed.items()}
        for name, part in (*found.items(), *mixed.items()):
            if name in self.tables.scheduled:
                self.cotangents[name][step] = part
            else:
                self.cotangents[name] += part
        self.adjoint, self.after = (whole, *elementwise[1:]), state

    def estimate(self, initial: OptimizerState, leaf: Tensor, cost: float) -> Estimate:
        """Estimate with the gradient by the coordinates ``leaf`` [members, k], through the tables and the initial state."""
        heads, cotangents = [*self.wanted.values()], [self.cotangents[name] for name in self.wanted]
        if initial[0].requires_grad:
            heads.append(initial[0])
            cotangents.append(self.adjoint[0])
        (gradient,) = torch.autograd.grad(heads, [leaf], grad_outputs=cotangents)
        if self.limit is None:
            return Estimate(self.value, gradient, cost, growth=self.growth).on(leaf.device)
        share = (self.scales < 1).to(self.scales.dtype).mean(dim=0)
        mean = self.scales.mean(dim=0)
        found = Estimate(self.value, gradient, cost, share, mean, growth=self.growth, scales=self.scales)
        return found.on(leaf.device)


def joined(parts: Sequence[Estimate]) -> Estimate:
    """Estimate of all members from the estimates of groups of them: the inverse of ``Estimate.of``."""

    def whole(name: str, dim: int) -> Tensor | None:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else torch.cat(found, dim=dim)

    return Estimate(
        value=torch.cat([part.value for part in parts]),
        gradient=torch.cat([part.gradient for part in parts]),
        cost=sum(part.cost for part in parts),
        bounded_share=whole("bounded_share", 0),
        mean_scale=whole("mean_scale", 0),
        growth=whole("growth", 1),
        scales=whole("scales", 1),
    )


def log_ratio(after: Tensor, before: Tensor) -> Tensor:
    """ln(after / before), [members]; 0 where ``before`` is 0, because nothing is there to grow."""
    return torch.where(before > 0, (after / before).log(), 0.0)


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


class ReverseKind(EstimatorKind):
    """Makes reverse mode with the job's settings."""

    makes = Reverse

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """Reverse mode with the job's storage, adjoint and growth budget."""
        method, storage = sizes.spec.method, storage_in_force(at_once(sizes), limit)
        return Reverse(storage, method.adjoint_kind, method.growth_budget)


ESTIMATOR = ReverseKind()
