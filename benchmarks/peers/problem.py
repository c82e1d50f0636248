"""Training run that every library differentiates: the same model, initial values, batches and optimizer.

Hyperparameters are the learning rate and the weight of an L2 term on the matrices. All of these libraries can express
them; decoupled decay is left out, because torchopt takes no tensor for it.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hpo.mup.resolve import acts
from hpo.optimizers.rule import OptimizerState
from hpo.study import Study
from hpo.training.coefficients import Coefficients
from hpo.training.problem import Draw, InnerProblem
from windtunnel.types import JobSpec

Optimizer = Literal["adam", "sgd"]
STEPS = 200
SEED = (0,)

MODELS: dict[str, dict[str, Any]] = {
    "MLP 64-64-64-10, digits": {"task": "digits", "model": {"width": 64, "depth": 2, "activation": "gelu"}},
}
"""Name -> smooth model: through a ReLU the loss jumps along the learning rate, and finite differences see the jumps."""
OPTIMIZERS: dict[Optimizer, dict[str, Any]] = {
    "adam": {"name": "adam", "learning_rate": 0.003, "weight_decay": 0.001},
    "sgd": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.001},
}


class FromGivenValues(InnerProblem):
    """Inner problem that begins at the values of the draw, also in the readout, which is zero in the proxy.

    From a zero readout some first gradients are exactly zero, where most libraries' Adam has no derivative.
    """

    def initial(self, draw: Draw, table: Coefficients) -> OptimizerState:  # noqa: ARG002
        """State before the first update."""
        return self.rule.init(draw.noise)


@dataclass(frozen=True)
class Run:
    """One training run, as this project and as torch need it."""

    optimizer: Optimizer
    problem: InnerProblem
    point: Tensor
    """Point (log learning rate, log L2), float64, [2]."""
    initial: nn.Module
    """Module with the initial values, float32."""
    draw: Draw
    """Initial values and batches, for this project's estimators."""
    decayed: tuple[str, ...]
    """Names of the parameters in the L2 term."""
    momentum: float

    @property
    def order(self) -> Tensor:
        """Indices of the training split's examples in each batch, [T, batch]."""
        return self.draw.batches[0]

    def module(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """A new module at the initial values."""
        return copy.deepcopy(self.initial).to(dtype)

    def batch(self, step: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Inputs and labels of one step."""
        inputs, labels = self.problem.data.train.take(self.order[step])
        return as_input(inputs, dtype), labels

    def validation(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the validation split."""
        split = self.problem.data.validation
        return as_input(split.inputs, dtype), split.labels


def as_input(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Inputs in the run's precision; token ids stay unchanged."""
    return inputs.to(dtype) if inputs.is_floating_point() else inputs


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, averaged over every prediction."""
    return cross_entropy(logits.flatten(0, -2), labels.flatten())


def build(model: str, optimizer: Optimizer, steps: int = STEPS) -> Run:
    """The run with this model and optimizer, the same for every caller and process."""
    spec = JobSpec.model_validate(
        {
            **MODELS[model],
            "optimizer": {**OPTIMIZERS[optimizer], "clip_norm": None},
            "schedule": {"name": "constant"},
            "inner": {"steps": steps, "batch_size": 64, "seeds": 1},
            "search": [{"name": "learning_rate"}, {"name": "weight_decay"}],
        }
    )
    study = Study(spec)
    own, point = study.problem, study.space.start()
    problem = FromGivenValues(spec, own.layout, own.init_std, study.space, study.data)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        initial = problem.build_module()
    named = dict(initial.named_parameters())
    flat = torch.cat([named[name].detach().flatten() for name in problem.layout.names])
    return Run(
        optimizer,
        problem,
        point,
        initial,
        replace(problem.draw([SEED]), noise=flat[None]),
        tuple(fact.name for fact in study.tensors if acts("weight_decay", fact)),
        spec.optimizer.default("momentum") or 0.0,
    )
