"""Plain training runs of a bilevel problem: parameters at the end, and the loss that judges them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.bilevel.inner import PlainProblem
from hpo.bilevel.problem import Bilevel, Named
from hpo.bilevel.uses import uses
from hpo.bilevel.variables import Variables


@dataclass(frozen=True)
class Trained:
    """Runs of a bilevel problem at fixed outer variables."""

    value: Tensor
    """Outer loss of each seed, [seeds]."""
    parameters: dict[str, Tensor]
    """Parameters after the last update, each [seeds, *shape]."""

    @property
    def loss(self) -> float:
        """Mean outer loss over the seeds."""
        return float(self.value.mean())


@torch.no_grad()
def train(problem: Bilevel, outer: Named, seeds: Sequence[int] = (0,)) -> Trained:
    """Train with fixed outer variables, and judge: what ``hypergradient`` differentiates, without its derivative.

    Args:
        problem: the bilevel problem.
        outer: values of the outer variables.
        seeds: seeds of the runs, which train as one population.

    Raises:
        InvalidProblem: a function or a value cannot be used.
    """
    variables = Variables.of(outer)
    inner = PlainProblem(problem, variables, outer, seeds[0])
    uses(inner, outer, seeds[0])
    draw = inner.draw_of(seeds)
    done = inner.train(variables.flat(outer).expand(len(seeds), -1), draw)
    value = inner.validation_loss(done.parameters, done.loss, draw)
    parts = inner.layout.split(done.parameters)
    return Trained(value, {name: part.clone() for name, part in zip(inner.names, parts, strict=True)})
