"""Optimizer update rules as pure functions of (state, gradient, coefficients): differentiable in everything.

A state is a tuple of flat tensors [members, P] that begins with the parameters. All rules share the decay terms:
``shrink`` multiplies the parameters directly (decoupled and independent decay), ``l2`` adds to the gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from windtunnel.types import OptimizerName

OptimizerState = tuple[Tensor, ...]


@dataclass(frozen=True)
class StepCoefficients:
    """Everything a rule needs at one step, broadcastable to [members, P]; None where the rule has no such term."""

    learning_rate: Tensor
    shrink: Tensor | None
    l2: Tensor | None
    clip_norm: Tensor | None
    momentum: Tensor | None
    beta1: Tensor | None
    beta2: Tensor | None
    eps: Tensor | None


class Update(Protocol):
    """One optimizer step."""

    def __call__(
        self, state: OptimizerState, gradient: Tensor, coefficients: StepCoefficients, step: int
    ) -> OptimizerState:
        """State after update number ``step`` (from 0)."""
        ...


def sgd_init(parameters: Tensor) -> OptimizerState:
    """(parameters, momentum buffer)."""
    return parameters, torch.zeros_like(parameters)


def sgd(state: OptimizerState, gradient: Tensor, coefficients: StepCoefficients, step: int) -> OptimizerState:  # noqa: ARG001
    """SGD with heavy-ball momentum: b <- momentum b + g, w <- w - lr b.

    Equal to torch.optim.SGD: a buffer of zeros makes the first step no special case.
    """
    parameters, buffer = state
    assert coefficients.momentum is not None
    buffer = torch.addcmul(_with_l2(gradient, parameters, coefficients), buffer, coefficients.momentum)
    kept = _shrunk(parameters, coefficients)
    return torch.addcmul(kept, coefficients.learning_rate, buffer, value=-1), buffer


def adam_init(parameters: Tensor) -> OptimizerState:
    """(parameters, first moment, second moment)."""
    return parameters, torch.zeros_like(parameters), torch.zeros_like(parameters)


def adam(state: OptimizerState, gradient: Tensor, coefficients: StepCoefficients, step: int) -> OptimizerState:
    """Adam (Kingma & Ba 2015, algorithm 1), with the decay terms of AdamW (Loshchilov & Hutter 2019, algorithm 2).

    Equal to torch.optim.Adam / AdamW: w <- w - lr m_hat / (sqrt(v_hat) + eps).
    """
    parameters, first, second = state
    beta1, beta2, eps = coefficients.beta1, coefficients.beta2, coefficients.eps
    assert beta1 is not None and beta2 is not None and eps is not None
    gradient = _with_l2(gradient, parameters, coefficients)
    first = torch.lerp(gradient, first, beta1.expand_as(first))
    second = torch.lerp(gradient.square(), second, beta2.expand_as(second))
    root = _root(second) if torch.is_grad_enabled() else second.sqrt()
    denominator = root / (1 - beta2 ** (step + 1)).sqrt() + eps
    rate = coefficients.learning_rate / (1 - beta1 ** (step + 1))
    kept = _shrunk(parameters, coefficients)
    return torch.addcdiv(kept, rate * first, denominator, value=-1), first, second


def _root(second: Tensor) -> Tensor:
    """Square root whose derivative at 0 is 0: there a parameter has never had a gradient, and its root is a constant."""
    alive = second > 0
    return torch.where(alive, second, 1.0).sqrt() * alive


def _with_l2(gradient: Tensor, parameters: Tensor, coefficients: StepCoefficients) -> Tensor:
    return gradient if coefficients.l2 is None else torch.addcmul(gradient, coefficients.l2, parameters)


def _shrunk(parameters: Tensor, coefficients: StepCoefficients) -> Tensor:
    if coefficients.shrink is None:
        return parameters
    return torch.addcmul(parameters, coefficients.shrink, parameters, value=-1)


RULES: dict[OptimizerName, tuple[Callable[[Tensor], OptimizerState], Update]] = {
    "sgd": (sgd_init, sgd),
    "adam": (adam_init, adam),
    "adamw": (adam_init, adam),
}
"""Optimizer -> (init, update). Adam and AdamW differ only in which decay term they are given."""
