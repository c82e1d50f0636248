"""Contenders of the comparison: each turns a run into a function that does the work once and returns its outcome."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.peers.problem import Run, mean_loss
from hpo.estimators.protocol import Estimator
from hpo.estimators.reverse import Reverse
from hpo.estimators.unrolled import Unrolled


@dataclass(frozen=True)
class Outcome:
    """Validation loss after the run, and its derivatives; None if the library cannot compute one."""

    loss: float
    by_rate: float | None = None
    """Derivative by the logarithm of the learning rate."""
    by_l2: float | None = None
    """Derivative by the logarithm of the L2 weight."""


Work = Callable[[], Outcome]


def torch_loop(run: Run, dtype: torch.dtype = torch.float32, shift: tuple[float, float] = (0.0, 0.0)) -> Work:
    """A function that trains as users of torch do, with (log learning rate, log L2) moved by ``shift``."""
    rate, l2 = (math.exp(value + moved) for value, moved in zip(run.point.tolist(), shift, strict=True))

    def work() -> Outcome:
        module = run.module(dtype)
        optimizer = native_optimizer(run, module, rate, l2)
        for step in range(len(run.order)):
            inputs, labels = run.batch(step, dtype)
            optimizer.zero_grad()
            mean_loss(module(inputs), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        inputs, labels = run.validation(dtype)
        with torch.no_grad():
            return Outcome(float(mean_loss(module(inputs), labels)))

    return work


def native_optimizer(run: Run, module: nn.Module, rate: float, l2: float) -> torch.optim.Optimizer:
    """Optimizer of torch, whose weight decay is the gradient of the L2 term."""
    named = dict(module.named_parameters())
    free = [parameter for name, parameter in named.items() if name not in run.decayed]
    groups = [{"params": [named[name] for name in run.decayed], "weight_decay": l2}, {"params": free, "weight_decay": 0.0}]
    if run.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=run.momentum)
    return torch.optim.Adam(groups, lr=rate)


STEP = 1e-5
"""Step of the central differences, in natural logarithms: in float64 their error is about 1e-8 of the derivative."""


def central_differences(run: Run) -> Work:
    """The reference: a function that trains in float64 with plain torch, twice for each hyperparameter."""

    def work() -> Outcome:
        def slope(up: tuple[float, float]) -> float:
            down = (-up[0], -up[1])
            ends = [torch_loop(run, torch.float64, shift)().loss for shift in (up, down)]
            return (ends[0] - ends[1]) / (2 * STEP)

        return Outcome(torch_loop(run, torch.float64)().loss, slope((STEP, 0.0)), slope((0.0, STEP)))

    return work


def ours(run: Run, estimator: Estimator) -> Work:
    """A function that runs one of this project's estimators."""
    draw = run.draw

    def work() -> Outcome:
        found = estimator.estimate(run.problem, run.point[None], draw)
        return Outcome(float(found.value), *found.gradient[0].tolist())

    return work


def torchopt_unrolled(run: Run) -> Work:
    """A function that unrolls the whole graph through torchopt's functional optimizer."""
    import torchopt

    module = run.module()
    names = [name for name, _ in module.named_parameters()]
    decayed = [names.index(name) for name in run.decayed]

    def work() -> Outcome:
        point = run.point.float().requires_grad_()
        rate, l2 = point.exp()
        rule = torchopt.sgd(rate, momentum=run.momentum) if run.optimizer == "sgd" else torchopt.adam(rate)
        optimizer = torchopt.FuncOptimizer(rule)
        parameters = tuple(parameter.detach().clone().requires_grad_() for parameter in module.parameters())

        def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
            inputs, labels = batch
            logits: Tensor = functional_call(module, dict(zip(names, parameters, strict=True)), (inputs,))
            return mean_loss(logits, labels)

        for step in range(len(run.order)):
            penalty = sum((parameters[index].square().sum() for index in decayed), torch.zeros(()))
            parameters = optimizer.step(loss(run.batch(step)) + l2 / 2 * penalty, parameters)
        value = loss(run.validation())
        (gradient,) = torch.autograd.grad(value, point)
        return Outcome(value.item(), *gradient.tolist())

    return work


def betty_implicit(run: Run, method: dict[str, Any]) -> Work:
    """A function that differentiates implicitly at the end of the run with betty; it has no learning-rate derivative."""
    from benchmarks.peers.betty_levels import differentiate

    return lambda: Outcome(*differentiate(run, method))


CONTENDERS: dict[str, Callable[[Run], Work]] = {
    "torch loop": torch_loop,
    "central differences, float64": central_differences,
    "reverse, every state": lambda run: ours(run, Reverse("none", "exact")),
    "reverse, sqrt states": lambda run: ours(run, Reverse("sqrt", "exact")),
    "higher": lambda run: ours(run, Unrolled()),
    "torchopt": torchopt_unrolled,
    "betty, darts": lambda run: betty_implicit(run, {"type": "darts"}),
    "betty, cg": lambda run: betty_implicit(run, {"type": "cg", "cg_iterations": 20}),
    "betty, neumann": lambda run: betty_implicit(run, {"type": "neumann", "neumann_iterations": 20, "neumann_alpha": 0.1}),
}
REFERENCE = "central differences, float64"
