"""The update rules of ``hpo.updates`` in place: same formulas, no graph, a third of the memory traffic.

``hpo.updates`` defines the rules; these are for runs that nobody differentiates through with autograd. Vectors of the
size of a population's parameters do not fit a core's cache, so what counts is how often they are read and written:
values that all parameters of a tensor share are never spread over a vector.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from hpo.layout import Layout
from hpo.optimizers.clipping import clip_scale
from hpo.updates import OptimizerState
from windtunnel.types import OptimizerName

Step = Callable[[OptimizerState, Tensor, Mapping[str, Tensor], Layout, int], None]
"""(state, gradient, tables of that step, layout, step): moves the state in place and uses the gradient up."""


def _clip_and_couple_(gradient: Tensor, parameters: Tensor, tables: Mapping[str, Tensor], layout: Layout) -> None:
    """What comes before the rule itself: clipping, then the optimizer's own L2."""
    if "clip_norm" in tables:
        gradient.mul_(clip_scale(gradient, tables["clip_norm"]))
    if "coupled_decay" in tables:
        gradient.add_(layout.multiply_(parameters.clone(), tables["coupled_decay"]))


def sgd_(state: OptimizerState, gradient: Tensor, tables: Mapping[str, Tensor], layout: Layout, step: int) -> None:  # noqa: ARG001
    """``hpo.updates.sgd``."""
    parameters, buffer = state
    _clip_and_couple_(gradient, parameters, tables, layout)
    buffer.mul_(tables["momentum"]).add_(gradient)
    _shrink_(parameters, tables, layout)
    parameters.sub_(layout.multiply_(gradient.copy_(buffer), tables["learning_rate"]))


def adam_(state: OptimizerState, gradient: Tensor, tables: Mapping[str, Tensor], layout: Layout, step: int) -> None:
    """``hpo.updates.adam``."""
    parameters, first, second = state
    beta1, beta2 = tables["beta1"], tables["beta2"]
    _clip_and_couple_(gradient, parameters, tables, layout)
    first.lerp_(gradient, (1 - beta1).expand_as(first))
    second.lerp_(gradient.square_(), (1 - beta2).expand_as(second))
    # m / (sqrt(v) / c + eps) = c m / (sqrt(v) + c eps): the correction c goes to values that are one a tensor.
    correction = (1 - beta2 ** (step + 1)).sqrt()
    denominator = layout.add_(torch.sqrt(second, out=gradient), tables["eps"] * correction)
    move = torch.div(first, denominator, out=gradient)
    _shrink_(parameters, tables, layout)
    rate = tables["learning_rate"] * (correction / (1 - beta1 ** (step + 1)))
    parameters.sub_(layout.multiply_(move, rate))


def _shrink_(parameters: Tensor, tables: Mapping[str, Tensor], layout: Layout) -> None:
    if "shrink" in tables:
        layout.multiply_(parameters, 1 - tables["shrink"])


STEPS: dict[OptimizerName, Step] = {"sgd": sgd_, "adam": adam_, "adamw": adam_}
"""Optimizer -> its step in place."""
