"""Training runs that are differentiated: two tasks, two optimizers, learning rates from calm to chaotic.

The rate is constant and nothing is clipped, so that neither hides the adjoint's behaviour.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor

from hpo.study import Study
from hpo.training.problem import Draw
from windtunnel.types import JobSpec

STEPS = 200
SEEDS = 16
CHAOS = 40
"""Purpose, in the seed path, of these runs: no tuning run has it."""
RATE = {"name": "learning_rate", "scope": "role", "low": 1e-5, "high": 10}
DECAY = {"name": "weight_decay", "scope": "role"}
INIT = {"name": "init_scale"}


@dataclass(frozen=True)
class Case:
    """A task and an optimizer, at several learning rates."""

    name: str
    title: str
    fields: dict[str, Any]
    rates: tuple[float, ...]

    def study(self, rate: float) -> Study:
        """Study of the job at one rate, of which only problem and start are used."""
        return _study(self.name, rate)

    def points(self, rate: float, members: int) -> Tensor:
        """Start of each member, [members, k]."""
        return self.study(rate).space.start().expand(members, -1)

    def draw(self, rate: float) -> Draw:
        """Random numbers of the seeds: initial weights and batches."""
        return self.study(rate).problem.draw([(0, CHAOS, 0, seed) for seed in range(SEEDS)])


CASES = {
    case.name: case
    for case in (
        Case(
            "mnist5k-adamw",
            "MLP on mnist5k, AdamW, 11 hyperparameters",
            {
                "task": "mnist5k",
                "optimizer": {"name": "adamw", "clip_norm": None},
                "schedule": {"name": "constant"},
                "search": [RATE, DECAY, {"name": "beta1"}, {"name": "beta2"}, INIT],
            },
            (0.001, 0.005, 0.02, 0.05),
        ),
        Case(
            "digits-momentum",
            "MLP on digits, SGD with momentum 0.9, 10 hyperparameters",
            {
                "task": "digits",
                "optimizer": {"name": "sgd", "momentum": 0.9, "clip_norm": None},
                "schedule": {"name": "constant"},
                "search": [RATE, DECAY, {"name": "momentum"}, INIT],
            },
            (0.01, 0.1, 0.3),
        ),
    )
}


def settings() -> Iterator[tuple[Case, float]]:
    """Yield every case at every rate."""
    for case in CASES.values():
        for rate in case.rates:
            yield case, rate


@cache
def _study(name: str, rate: float) -> Study:
    fields = CASES[name].fields
    inner = {"steps": STEPS, "batch_size": 64, "seeds": SEEDS}
    model = {"family": "mlp", "width": 64, "depth": 2}
    rule = {**fields["optimizer"], "learning_rate": rate}
    return Study(JobSpec.model_validate({**fields, "model": model, "inner": inner, "optimizer": rule}))
