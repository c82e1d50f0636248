"""Lion (Chen et al. 2023, algorithm 2): w <- w - lr sign(beta1 m + (1 - beta1) g), m <- beta2 m + (1 - beta2) g."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.layout import Layout
from hpo.noise import Step
from hpo.optimizers.rule import (
    OptimizerState,
    Rule,
    Tables,
    clip_and_couple_,
    seen_gradient,
    shrink_,
    shrunk,
    spread,
)
from windtunnel.types import TensorRow


class Lion(Rule):
    """Lion: every entry moves by the learning rate, up or down; nothing else of the gradient's size is left."""

    def init(self, parameters: Tensor) -> OptimizerState:
        """(parameters, average of the gradients)."""
        return parameters, torch.zeros_like(parameters)

    def update(
        self,
        state: OptimizerState,
        gradient: Tensor,
        tables: Tables,
        layout: Layout,
        step: Step,  # noqa: ARG002
    ) -> OptimizerState:
        """State after one update; the sign has derivative 0, so only decay and the learning rate are seen through it."""
        parameters, average = state
        terms = spread(tables, layout)
        seen = seen_gradient(gradient, parameters, terms)
        move = torch.lerp(seen, average, terms["beta1"].expand_as(average)).sign()
        kept = torch.lerp(seen, average, terms["beta2"].expand_as(average))
        return torch.addcmul(shrunk(parameters, terms), terms["learning_rate"], move, value=-1), kept

    def in_place(
        self,
        state: OptimizerState,
        gradient: Tensor,
        tables: Tables,
        layout: Layout,
        step: Step,  # noqa: ARG002
    ) -> None:
        """Moves the state as ``update`` does, to rounding, in its own memory, without a graph; uses the gradient up."""
        parameters, average = state
        clip_and_couple_(gradient, parameters, tables, layout)
        move = torch.lerp(gradient, average, tables["beta1"].expand_as(average)).sign_()
        average.lerp_(gradient, (1 - tables["beta2"]).expand_as(average))
        shrink_(parameters, tables, layout)
        parameters.sub_(layout.multiply_(move, tables["learning_rate"]))

    def gradient_rates(
        self,
        rows: Sequence[TensorRow],
        state: OptimizerState,
        tables: Tables,  # noqa: ARG002
        layout: Layout,
        member: int,
        steps: int,  # noqa: ARG002
    ) -> list[float]:
        """Learning rate of each tensor over the mean size of its averaged gradient; 0 for a tensor without a gradient."""
        sizes = [part[member].abs().mean().item() for part in layout.split(state[1])]
        return [row.learning_rate / size if size else 0.0 for row, size in zip(rows, sizes, strict=True)]


RULE = Lion()
