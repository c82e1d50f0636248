"""States the run as a two-level problem of betty: training below, the L2 weight above.

In betty 0.2.1 only ``ImplicitProblem`` works: ``IterativeProblem`` and ``HigherIterativeProblem``, which would unroll, read
an attribute ``_fp16`` that this version never sets.
"""

import logging
import math
from typing import Any

import torch
from betty.configs import Config, EngineConfig
from betty.engine import Engine
from betty.problems import ImplicitProblem
from torch import Tensor, nn

from benchmarks.peers.problem import Run, mean_loss


class Penalty(nn.Module):
    """Module that holds the logarithm of the L2 weight."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.tensor(value))

    def forward(self) -> Tensor:
        """The L2 weight."""
        return self.logarithm.exp()


class Training(ImplicitProblem):  # type: ignore[misc]
    """The lower level: the training run."""

    decayed: tuple[str, ...]
    penalty: ImplicitProblem

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of a batch with the L2 term."""
        inputs, labels = batch
        named = dict(self.module.named_parameters())
        square = torch.stack([named[name].square().sum() for name in self.decayed]).sum()
        weight: Tensor = self.penalty()
        return mean_loss(self.module(inputs), labels) + weight / 2 * square


class Validation(ImplicitProblem):  # type: ignore[misc]
    """The upper level: validation loss of the trained weights."""

    training: Training
    loss: float
    slope: float

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Validation loss."""
        inputs, labels = batch
        value = mean_loss(self.training(inputs), labels)
        self.loss = value.item()
        return value

    def grad_callback(self) -> None:
        """Record the hypergradient; betty calls this between computing and using it."""
        self.slope = float(self.module.logarithm.grad)


def differentiate(run: Run, method: dict[str, Any]) -> tuple[float, None, float]:
    """(validation loss, None for the learning rate, derivative by the logarithm of the L2 weight)."""
    log_rate, log_l2 = run.point.tolist()
    steps = len(run.order)
    module, weight = run.module(), Penalty(log_l2)
    rate = math.exp(log_rate)
    if run.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(module.parameters(), lr=rate, momentum=run.momentum)
    else:
        optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    training = Training(
        "training", Config(**method, unroll_steps=steps), module, optimizer,
        train_data_loader=[run.batch(step) for step in range(steps)],
    )  # fmt: skip
    training.decayed = run.decayed
    validation = Validation(
        "penalty", Config(), weight, torch.optim.SGD(weight.parameters(), lr=0.0), train_data_loader=[run.validation()]
    )
    levels = {"u2l": {validation: [training]}, "l2u": {training: [validation]}}
    logging.disable(logging.INFO)
    try:
        Engine([validation, training], EngineConfig(train_iters=steps, strategy="cpu"), levels).run()
    finally:
        logging.disable(logging.NOTSET)
    return validation.loss, None, validation.slope
