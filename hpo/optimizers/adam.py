"""Adam (Kingma & Ba 2015, algorithm 1): w <- w - lr m_hat / (sqrt(v_hat) + eps), with the decay terms of any rule."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from higher.optim import DifferentiableOptimizer
from torch import Tensor

from hpo.layout import Layout
from hpo.noise import Step
from hpo.optimizers.rule import (
    Applied,
    Cotangents,
    OptimizerState,
    Rule,
    Tables,
    clip_and_couple_,
    pulled_back,
    seen_gradient,
    shrink_,
    shrunk,
    spread,
)
from windtunnel.types import TensorRow


def adam_init(parameters: Tensor) -> OptimizerState:
    """State before the first update: (parameters, first moment, second moment), the moments 0, each [members, P]."""
    return parameters, torch.zeros_like(parameters), torch.zeros_like(parameters)


def adam(state: OptimizerState, gradient: Tensor, terms: Tables, step: Step) -> OptimizerState:
    """State after update number ``step`` (from 0), equal to torch.optim.Adam and AdamW; differentiable in every tensor.

    Args:
        state: (parameters, first moment, second moment), each [members, P].
        gradient: gradient of the training loss, [members, P].
        terms: coefficients by name, each broadcastable to [members, P]: ``learning_rate``, ``beta1``, ``beta2``, ``eps``;
            those of clipping and decay if they are on.
        step: number of the update.
    """
    parameters, first, second = state
    beta1, beta2 = terms["beta1"], terms["beta2"]
    gradient = seen_gradient(gradient, parameters, terms)
    first = torch.lerp(gradient, first, beta1.expand_as(first))
    second = torch.lerp(gradient.square(), second, beta2.expand_as(second))
    root = _root(second) if torch.is_grad_enabled() else second.sqrt()
    denominator = root / (1 - beta2 ** (step + 1)).sqrt() + terms["eps"]
    rate = terms["learning_rate"] / (1 - beta1 ** (step + 1))
    return torch.addcdiv(shrunk(parameters, terms), rate * first, denominator, value=-1), first, second


def _root(second: Tensor) -> Tensor:
    """Square root with derivative 0 at 0: such a parameter has never had a gradient, and its root counts as a constant."""
    alive = second > 0
    return torch.where(alive, second, 1.0).sqrt() * alive


class DifferentiableAdam(DifferentiableOptimizer):  # type: ignore[misc]
    """Adam with coupled or decoupled decay for ``higher``, per tensor.

    Settings of a parameter group are ``lr``, ``beta1``, ``beta2``, ``eps``, ``shrink`` and ``l2``. The package's own Adam
    takes a Python square root of the second bias correction, which cuts the graph to beta2, and it has no AdamW.
    """

    def _update(self, grouped_grads: Sequence[Sequence[Tensor]], **_: Any) -> None:
        for index, (group, gradients) in enumerate(zip(self.param_groups, grouped_grads, strict=True)):
            for place, (parameter, raw) in enumerate(zip(group["params"], gradients, strict=True)):
                gradient = raw + group["l2"] * parameter
                move = group["lr"] * self._direction(group, self.state[index][place], gradient)
                group["params"][place] = parameter - group["shrink"] * parameter - move

    def _direction(self, group: dict[str, Any], memory: dict[str, Any], gradient: Tensor) -> Tensor:
        """Direction of one tensor's step, before its rate."""
        beta1, beta2 = group["beta1"], group["beta2"]
        count = memory["step"] = memory.get("step", 0) + 1
        first = memory["first"] = beta1 * memory.get("first", 0.0) + (1 - beta1) * gradient
        second = memory["second"] = beta2 * memory.get("second", 0.0) + (1 - beta2) * gradient * gradient
        alive = second > 0
        root = torch.where(alive, torch.sqrt(torch.where(alive, second, 1.0)), 0.0)
        found: Tensor = (first / (1 - beta1**count)) / (root / torch.sqrt(1 - beta2**count) + group["eps"])
        return found


class Adam(Rule):
    """Adam; decay comes from the tables: ``coupled_decay`` is added to the gradient, ``shrink`` acts beside the update."""

    def init(self, parameters: Tensor) -> OptimizerState:
        """State before the first update: (parameters, first moment, second moment), the moments 0."""
        return adam_init(parameters)

    def update(self, state: OptimizerState, gradient: Tensor, tables: Tables, layout: Layout, step: Step) -> OptimizerState:
        """(parameters, first moment, second moment) after update number ``step``; differentiable in every tensor."""
        return adam(state, gradient, spread(tables, layout), step)

    def in_place(self, state: OptimizerState, gradient: Tensor, tables: Tables, layout: Layout, step: Step) -> None:
        """Moves parameters and moments in their own memory as ``update`` does, up to rounding; overwrites the gradient."""
        parameters, first, second = state
        beta1, beta2 = tables["beta1"], tables["beta2"]
        clip_and_couple_(gradient, parameters, tables, layout)
        first.lerp_(gradient, (1 - beta1).expand_as(first))
        second.lerp_(gradient.square_(), (1 - beta2).expand_as(second))
        # m / (sqrt(v) / c + eps) = c m / (sqrt(v) + c eps): the correction c goes to values that are one a tensor.
        correction = (1 - beta2 ** (step + 1)).sqrt()
        denominator = layout.add_(torch.sqrt(second, out=gradient), tables["eps"] * correction)
        move = torch.div(first, denominator, out=gradient)
        shrink_(parameters, tables, layout)
        rate = tables["learning_rate"] * (correction / (1 - beta1 ** (step + 1)))
        parameters.sub_(layout.multiply_(move, rate))

    def pull_back(
        self, update: Applied, adjoint: OptimizerState, wanted: Collection[str]
    ) -> tuple[OptimizerState, Tensor, Cotangents]:
        """Adjoints of state and gradient, and the wanted cotangents, by the closed form of ``update``'s derivative."""
        return pulled_back(update, adjoint, wanted, adam_product)

    def for_higher(self) -> type[DifferentiableOptimizer]:
        """Adam as an optimizer of the package ``higher``."""
        return DifferentiableAdam

    def gradient_rates(
        self, rows: Sequence[TensorRow], state: OptimizerState, tables: Tables, layout: Layout, member: int, steps: int
    ) -> list[float]:
        """Learning rate of each tensor over (size of its gradients + eps); 0 for a tensor that has never had one."""
        rates = [row.learning_rate for row in rows]
        unbiased = 1 - tables["beta2"].item() ** steps
        roots = [(second[member].mean() / unbiased).sqrt().item() for second in layout.split(state[2])]
        return [
            rate / (root + (row.eps or 0.0)) if root else 0.0 for rate, root, row in zip(rates, roots, rows, strict=True)
        ]


def adam_product(
    update: Applied, seen: Tensor, adjoint: OptimizerState, wanted: Collection[str], found: Cotangents
) -> Tensor:
    """Pullback of m' = b1 m + (1 - b1) g, v' = b2 v + (1 - b2) g^2, w' = w - lr / (1 - b1^t) m' / (sqrt(v') / c + eps).

    c is sqrt(1 - b2^t). A parameter whose v' is 0 has never had a gradient: its root counts as a constant, as in ``adam``.
    The form is that of ``Product``.
    """
    (_, before_first, before_second), (_, first, second) = update.before, update.after
    layout, tables = update.layout, update.tables
    beta1, beta2, count = tables["beta1"], tables["beta2"], update.step + 1
    unbias1, unbias2 = 1 - beta1**count, (1 - beta2**count).sqrt()
    rate = tables["learning_rate"] * (unbias2 / unbias1)

    # With d = sqrt(v') + c eps the step is rate m' / d, rate having c / (1 - b1^t) in it.
    root = second.sqrt()
    denominator = layout.add_(root.clone(), tables["eps"] * unbias2)
    to_move = adjoint[0] / denominator
    along = to_move * first
    if "learning_rate" in wanted or "beta1" in wanted:
        by_rate = -layout.sums(along)
        if "learning_rate" in wanted:
            found["learning_rate"] = by_rate * (unbias2 / unbias1)
    to_denominator = layout.multiply_(along.div_(denominator), rate)
    if "eps" in wanted:
        found["eps"] = update.total("eps", to_denominator) * unbias2
    if "beta2" in wanted:
        through_unbias = torch.linalg.vecdot(to_denominator, root)[:, None] / (2 * unbias2**2)
    to_first = adjoint[1].sub_(layout.multiply_(to_move, rate))
    # Divided by the root, and 0 where that is 0: the sign is a mask whose kernel is 20 times faster than masked_fill.
    to_root = to_denominator.mul_(root.sign()).div_(root.clamp_min_(torch.finfo(root.dtype).tiny))
    to_second = adjoint[2].add_(to_root, alpha=0.5)

    if "beta1" in wanted:
        direct = torch.linalg.vecdot(to_first, before_first - seen)[:, None]
        turned = (by_rate * rate).sum(dim=1, keepdim=True) / unbias1
        found["beta1"] = direct + turned * count * beta1**update.step
    if "beta2" in wanted:
        direct = torch.linalg.vecdot(to_second, before_second - seen.square())[:, None]
        found["beta2"] = direct + through_unbias * count * beta2**update.step
    to_gradient = seen.mul_(to_second).mul_(2 * (1 - beta2)).addcmul_(to_first, 1 - beta1)
    to_first.mul_(beta1)
    to_second.mul_(beta2)
    return to_gradient


RULE = Adam()
