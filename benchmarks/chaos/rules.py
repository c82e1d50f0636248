"""Measures other ways to keep an adjoint from exploding, in one backward pass that shares the graphs of its steps.

One step back is lambda <- a + h: a from the elementwise update rule, h the Hessian-vector product. A rule replaces this
step. The engine's own rule is here, too, so that the pass itself can be compared with the engine.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.chaos.adjoints import written
from benchmarks.chaos.cases import CASES, SEEDS, STEPS, Case, settings
from benchmarks.stored import Cell, Row, stored
from hpo.estimators.reverse import Reverse, bounded_scale
from hpo.layout import Layout
from hpo.optimizers.rule import OptimizerState
from hpo.training.problem import silent

TAU = math.log(10) / STEPS
"""Growth per step for the engine's default budget."""
COLUMNS = ["case", "rate", "adjoint", "seed", "gradient"]


@dataclass(frozen=True)
class Moment:
    """One update of the backward pass."""

    adjoint: OptimizerState
    """Adjoint of the state after the update, each part [members, P]."""
    elementwise: OptimizerState
    """a: the adjoint pulled back through the update rule, for each part of the state before it."""
    hessian: Tensor
    """h: the adjoint pulled back through the training gradient to the parameters, [members, P]."""
    units: OptimizerState
    """Factors that make the adjoint of each buffer comparable with that of the parameters, each [members, P]."""
    layout: Layout
    left: int
    """Number of updates from here to the end of the run."""


Rule = Callable[[Moment], OptimizerState]


def exact(moment: Moment) -> OptimizerState:
    """Exact rule: lambda <- a + h."""
    return (moment.elementwise[0] + moment.hessian, *moment.elementwise[1:])


def bounded(tau: float) -> Rule:
    """The engine's rule: the largest s with |a + s h| <= (1 + tau) |a|, over all parameters."""

    def rule(moment: Moment) -> OptimizerState:
        plain, *buffers = moment.elementwise
        scale = bounded_scale(plain, moment.hessian, tau)
        return (plain + scale[:, None] * moment.hessian, *buffers)

    return rule


def bounded_by_profile(profile: Tensor) -> Rule:
    """Rule ``bounded`` with a tau for each step, which shares ln G in proportion to the growth of the exact adjoint.

    Args:
        profile: ln of that growth by number of the update, [T].
    """
    share = profile.clamp(min=0.0)
    taus = (math.log(10) * share / share.sum()).tolist()

    def rule(moment: Moment) -> OptimizerState:
        return bounded(taus[STEPS - 1 - moment.left])(moment)

    return rule


def by_tensor(tau: float) -> Rule:
    """Rule with a scale for each tensor: |a_i + s_i h_i| <= (1 + tau) |a_i|."""

    def rule(moment: Moment) -> OptimizerState:
        plain, *buffers = moment.elementwise
        scales = [
            bounded_scale(a.flatten(1), h.flatten(1), tau)
            for a, h in zip(moment.layout.split(plain), moment.layout.split(moment.hessian), strict=True)
        ]
        return (plain + moment.layout.expand(torch.stack(scales, dim=1)) * moment.hessian, *buffers)

    return rule


def whole_state(tau: float) -> Rule:
    """Rule that counts buffers, too, in units of the parameters: the whole adjoint grows by at most 1 + tau per step."""

    def rule(moment: Moment) -> OptimizerState:
        plain, *buffers = moment.elementwise
        limit = (1 + tau) ** 2 * _square(moment.adjoint, moment.units)
        rest = _square((torch.zeros_like(plain), *buffers), moment.units)
        # Where the update rule alone exceeds the limit, the Hessian may add nothing to the length.
        room = torch.maximum(limit - rest, plain.square().sum(dim=1))
        return (plain + _largest(plain, moment.hessian, room)[:, None] * moment.hessian, *buffers)

    return rule


def shortened(tau: float) -> Rule:
    """Rule that clips the sum, not the Hessian: (a + h) min(1, (1 + tau) |a| / |a + h|), as Metz et al. 2021."""

    def rule(moment: Moment) -> OptimizerState:
        plain, *buffers = moment.elementwise
        total = plain + moment.hessian
        factor = ((1 + tau) * plain.norm(dim=1) / total.norm(dim=1).clamp(min=1e-30)).clamp(max=1.0)
        return (total * factor[:, None], *buffers)

    return rule


def discounted(gamma: float) -> Rule:
    """Exact rule times gamma per step: step t counts gamma^(T-t) (HyperDistill, Lee et al. 2022)."""
    return lambda moment: tuple(gamma * part for part in exact(moment))


def last(steps: int) -> Rule:
    """Exact rule for the last steps, 0 before them (truncated backpropagation, Shaban et al. 2019)."""
    return lambda moment: exact(moment) if moment.left < steps else tuple(map(torch.zeros_like, moment.adjoint))


RULES: dict[str, Rule] = {
    "exact": exact,
    "bounded, tau 0.0115 (the engine's)": bounded(TAU),
    "bounded, tau 0": bounded(0.0),
    "bounded by tensor, tau 0.0115": by_tensor(TAU),
    "bounded by tensor, tau 0": by_tensor(0.0),
    "whole state bounded, tau 0.0115": whole_state(TAU),
    "whole state bounded, tau 0": whole_state(0.0),
    "sum shortened, tau 0.0115": shortened(TAU),
    "discount 0.98": discounted(0.98),
    "discount 0.95": discounted(0.95),
    "last 190 steps": last(190),
    "last 100 steps": last(100),
    "last 40 steps": last(40),
}


def _square(adjoint: OptimizerState, units: OptimizerState) -> Tensor:
    """Squared norm of the adjoint of a whole state, [members]."""
    parts = [adjoint[0], *(part * unit for part, unit in zip(adjoint[1:], units, strict=True))]
    return torch.stack([part.square().sum(dim=1) for part in parts]).sum(dim=0)


def _largest(plain: Tensor, hessian: Tensor, limit: Tensor) -> Tensor:
    """Largest s in [0, 1] with |a + s h|^2 <= limit, for a limit of at least |a|^2, [members]."""
    inner, curved = (plain * hessian).sum(dim=1), hessian.square().sum(dim=1)
    slack = limit - plain.square().sum(dim=1)
    root = (inner.square() + curved * slack).sqrt()
    found = torch.where(inner > 0, slack / (inner + root).clamp(min=1e-30), (root - inner) / curved.clamp(min=1e-30))
    return torch.where(curved > 0, found.clamp(0.0, 1.0), 1.0)


@dataclass(frozen=True)
class Swept:
    """Hypergradients and adjoint norms of one rule on the runs of a case."""

    gradient: Tensor
    """Hypergradients, [seeds, k]."""
    norms: Tensor
    """Norms |lambda| of the parameters' adjoint, from the end of the run backwards, [T + 1, seeds]."""


def sweep(case: Case, rate: float, rules: Mapping[str, Rule]) -> dict[str, Swept]:
    """Rule -> its results on all seeds, from one backward pass."""
    problem, draw = case.study(rate).problem, case.draw(rate)
    leaf = case.points(rate, SEEDS).clone().requires_grad_()
    tables = problem.coefficients(leaf)
    initial = problem.initial(draw, tables)
    fixed = tables.detached()
    segment = math.isqrt(STEPS)
    kept: list[OptimizerState] = [tuple(part.detach() for part in initial)]
    for start in range(0, STEPS, segment):
        kept.append(problem.advance(kept[-1], fixed, draw, start, min(start + segment, STEPS), silent)[-1])
    final = kept.pop()[0].requires_grad_()
    value, _ = problem.evaluate(final, fixed.loss, problem.data.validation)
    (slope,) = torch.autograd.grad(value.sum(), [final])
    first: OptimizerState = (slope, *(torch.zeros_like(part) for part in kept[0][1:]))
    adjoints = dict.fromkeys(rules, first)
    norms = {name: [slope.norm(dim=1)] for name in rules}
    cotangents = {name: {key: torch.zeros_like(table) for key, table in fixed.tables().items()} for name in rules}
    for start in reversed(range(0, STEPS, segment)):
        stop = min(start + segment, STEPS)
        states = problem.advance(kept.pop(), fixed, draw, start, stop - 1, silent)
        for step in reversed(range(start, stop)):
            state = states.pop()
            leaves = [part.detach().requires_grad_() for part in problem.layout.split(state[0])]
            loss = problem.training_loss(leaves, fixed.loss, problem.batch(draw, step)).sum()
            slopes = torch.autograd.grad(loss, leaves, create_graph=True)
            inputs = [part.detach().requires_grad_() for part in (*state, problem.layout.join(slopes))]
            now = {key: table.detach().requires_grad_() for key, table in fixed.at(step).items()}
            after = problem.apply_update(tuple(inputs[:-1]), inputs[-1], now, step)
            units = _units(
                problem.spec.optimizer.name, state, problem.layout.expand(now["learning_rate"].detach()), now, step
            )
            for name, rule in rules.items():
                found = torch.autograd.grad(after, [*inputs, *now.values()], grad_outputs=adjoints[name], retain_graph=True)
                for key, part in zip(now, found[len(inputs) :], strict=True):
                    place = cotangents[name][key][step] if key in fixed.scheduled else cotangents[name][key]
                    place += part
                parts = problem.layout.split(found[len(state)])
                product = torch.autograd.grad(slopes, leaves, grad_outputs=parts, retain_graph=True)
                hessian = problem.layout.join(product)
                left = STEPS - 1 - step
                moment = Moment(adjoints[name], tuple(found[: len(state)]), hessian, units, problem.layout, left)
                adjoints[name] = rule(moment)
                norms[name].append(adjoints[name][0].norm(dim=1))
    live = {key: table for key, table in tables.tables().items() if table.requires_grad}
    swept = {}
    for name in rules:
        heads = [*live.values(), initial[0]]
        grads = [*(cotangents[name][key] for key in live), adjoints[name][0]]
        (gradient,) = torch.autograd.grad(heads, [leaf], grad_outputs=grads, retain_graph=True)
        swept[name] = Swept(gradient, torch.stack(norms[name]))
    return swept


def _units(rule: str, state: OptimizerState, rate: Tensor, now: Mapping[str, Tensor], step: int) -> OptimizerState:
    """Reciprocal of the distance that a unit in a buffer moves a parameter over the coming steps.

    A momentum buffer moves it by rate / (1 - momentum) in all; a first moment by that over the root of the second. The
    second moment only changes the lengths of steps, and is left out.
    """
    with torch.no_grad():
        if rule == "sgd":
            return ((1 - now["momentum"]) / rate,)
        beta1, beta2 = now["beta1"], now["beta2"]
        root = (state[2] / (1 - beta2 ** max(step, 1))).sqrt()
        # A parameter that has hardly ever had a gradient must not decide the norm.
        floor = 1e-3 * root.mean(dim=1, keepdim=True) + 1e-8
        return (1 - beta1) * (root + floor) / rate, torch.zeros_like(root)


def profile(case: Case, rate: float) -> Tensor:
    """Growth ln of the exact adjoint in each update, median over seeds, [T]."""
    growth = Reverse(adjoint="exact").estimate(case.study(rate).problem, case.points(rate, SEEDS), case.draw(rate)).growth
    assert growth is not None
    return growth.median(dim=1).values


def gradients(cell: Cell) -> Iterator[list[object]]:
    """Yield the hypergradients of every rule and seed."""
    case, rate = CASES[str(cell[0])], float(str(cell[1]))
    rules = RULES | {"bounded, tau by measured growth": bounded_by_profile(profile(case, rate))}
    for name, swept in sweep(case, rate, rules).items():
        for seed in range(SEEDS):
            yield [name, seed, written(swept.gradient[seed])]


def measure() -> list[Row]:
    """Rows of every rule on every case at every rate."""
    return stored("chaos-rules", COLUMNS, [(case.name, rate) for case, rate in settings()], gradients)
