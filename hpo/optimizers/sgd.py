"""SGD with heavy-ball momentum (Polyak 1964): b <- momentum b + g, w <- w - lr b."""

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


class DifferentiableMomentum(DifferentiableOptimizer):  # type: ignore[misc]
    """SGD with heavy-ball momentum for ``higher``, per tensor: settings ``lr``, ``momentum``, ``shrink`` and ``l2``."""

    def _update(self, grouped_grads: Sequence[Sequence[Tensor]], **_: Any) -> None:
        for index, (group, gradients) in enumerate(zip(self.param_groups, grouped_grads, strict=True)):
            for place, (parameter, raw) in enumerate(zip(group["params"], gradients, strict=True)):
                memory = self.state[index][place]
                gradient = raw + group["l2"] * parameter
                buffer = memory["buffer"] = group["momentum"] * memory.get("buffer", 0.0) + gradient
                group["params"][place] = parameter - group["shrink"] * parameter - group["lr"] * buffer


class SGD(Rule):
    """SGD with heavy-ball momentum, equal to torch.optim.SGD: a buffer of zeros makes the first step no special case."""

    def init(self, parameters: Tensor) -> OptimizerState:
        """State before the first update: (parameters, momentum buffer), the buffer 0, each [members, P]."""
        return parameters, torch.zeros_like(parameters)

    def update(
        self,
        state: OptimizerState,
        gradient: Tensor,
        tables: Tables,
        layout: Layout,
        step: Step,  # noqa: ARG002
    ) -> OptimizerState:
        """State after an update, (parameters, momentum buffer); differentiable in every tensor."""
        parameters, buffer = state
        terms = spread(tables, layout)
        buffer = torch.addcmul(seen_gradient(gradient, parameters, terms), buffer, terms["momentum"])
        return torch.addcmul(shrunk(parameters, terms), terms["learning_rate"], buffer, value=-1), buffer

    def in_place(
        self,
        state: OptimizerState,
        gradient: Tensor,
        tables: Tables,
        layout: Layout,
        step: Step,  # noqa: ARG002
    ) -> None:
        """Moves parameters and buffer in their own memory as ``update`` does, up to rounding; overwrites the gradient."""
        parameters, buffer = state
        clip_and_couple_(gradient, parameters, tables, layout)
        buffer.mul_(tables["momentum"]).add_(gradient)
        shrink_(parameters, tables, layout)
        parameters.sub_(layout.multiply_(gradient.copy_(buffer), tables["learning_rate"]))

    def pull_back(
        self, update: Applied, adjoint: OptimizerState, wanted: Collection[str]
    ) -> tuple[OptimizerState, Tensor, Cotangents]:
        """Adjoints of state and gradient, and the wanted cotangents, by the closed form of ``update``'s derivative."""
        return pulled_back(update, adjoint, wanted, _product)

    def for_higher(self) -> type[DifferentiableOptimizer]:
        """SGD with momentum as an optimizer of the package ``higher``."""
        return DifferentiableMomentum

    def gradient_rates(
        self,
        rows: Sequence[TensorRow],
        state: OptimizerState,  # noqa: ARG002
        tables: Tables,  # noqa: ARG002
        layout: Layout,  # noqa: ARG002
        member: int,  # noqa: ARG002
        steps: int,  # noqa: ARG002
    ) -> list[float]:
        """Learning rate of each tensor: an update is as large as its gradient times that."""
        return [row.learning_rate for row in rows]


def _product(update: Applied, seen: Tensor, adjoint: OptimizerState, wanted: Collection[str], found: Cotangents) -> Tensor:
    """Pullback of b' = momentum b + g, w' = w - lr b', in the form of ``Product``."""
    (_, buffer), (_, moved), tables = update.before, update.after, update.tables
    if "learning_rate" in wanted:
        found["learning_rate"] = -update.total("learning_rate", adjoint[0] * moved)
    to_seen = adjoint[1].sub_(update.layout.multiply_(seen.copy_(adjoint[0]), tables["learning_rate"]))
    if "momentum" in wanted:
        found["momentum"] = torch.linalg.vecdot(to_seen, buffer)[:, None]
    to_gradient = to_seen.clone()
    adjoint[1].mul_(tables["momentum"])
    return to_gradient


RULE = SGD()
