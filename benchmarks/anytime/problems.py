"""Problems of the comparison: training, search space and budget of each."""

from dataclasses import dataclass
from typing import Any

from hpo.study import Study
from windtunnel.types import JobSpec

STEPS = 300
START_RATE = 0.01
FIRST_SEED = 100
"""Job seed of repeat 0: the search's own constants were chosen on lower seeds."""


@dataclass(frozen=True)
class Problem:
    """One problem, a panel of the comparison."""

    title: str
    spec: dict[str, Any]
    """Job spec; seed, start, inner steps and budget are filled in if it does not give them."""
    checkpoints: tuple[int, ...] = (10, 20, 40, 60, 100, 150, 200, 300)
    """Run-equivalents at which the incumbent is evaluated; the last is the whole budget."""

    @property
    def budget(self) -> int:
        """Budget of a contender in run-equivalents."""
        return self.checkpoints[-1]

    def study(self, repeat: int) -> Study:
        """Study of this project's job, whose space and training runs all contenders use."""
        spec = {
            "inner": {"steps": STEPS},
            "optimizer": {"learning_rate": START_RATE},
            "outer": {"budget": self.budget},
            **self.spec,
            "seed": FIRST_SEED + repeat,
        }
        return Study(JobSpec.model_validate(spec))


RATE_AND_DECAY = [{"name": "learning_rate"}, {"name": "weight_decay"}]
BY_ROLE = [{"name": "learning_rate", "scope": "role"}, {"name": "weight_decay", "scope": "role"}]
MOMENTS_AND_CLIP = [{"name": "beta1"}, {"name": "beta2"}, {"name": "clip_norm"}]
EVERYTHING = [
    *BY_ROLE,
    *MOMENTS_AND_CLIP,
    {"name": "init_scale", "scope": "role"},
    {"name": "eps"},
    {"name": "output_multiplier"},
    {"name": "attention_multiplier"},
    {"name": "embedding_multiplier"},
    {"name": "warmup_fraction"},
    {"name": "floor"},
]
SMALL_TRANSFORMER = {
    "task": "python-text",
    "model": {"width": 32, "depth": 1},
    "inner": {"steps": STEPS, "batch_size": 8},
}
"""Transformer smaller than the default: at the default size a run takes 15 seconds, and the whole comparison days."""

PROBLEMS: dict[str, Problem] = {
    "mlp-2": Problem(
        "MLP, mnist5k, 2 hyperparameters",
        {"task": "mnist5k", "search": RATE_AND_DECAY},
        checkpoints=(10, 20, 40, 60, 100, 150),
    ),
    "mlp-11": Problem("MLP, mnist5k, 11 hyperparameters", {"task": "mnist5k", "search": [*BY_ROLE, *MOMENTS_AND_CLIP]}),
    "resnet": Problem(
        "residual network, mnist5k, 10 hyperparameters",
        {
            "task": "mnist5k",
            "model": {"family": "resnet"},
            "inner": {"steps": STEPS, "batch_size": 32},
            "search": [*BY_ROLE, *MOMENTS_AND_CLIP],
        },
        checkpoints=(10, 20, 40, 60, 100, 150),
    ),
    "transformer-2": Problem(
        "transformer, python-text, 2 hyperparameters",
        {**SMALL_TRANSFORMER, "search": RATE_AND_DECAY},
        checkpoints=(10, 20, 40, 60),
    ),
    "transformer-30": Problem(
        "transformer, python-text, 30 hyperparameters",
        {**SMALL_TRANSFORMER, "search": EVERYTHING},
        checkpoints=(10, 20, 40, 60, 100),
    ),
}
