"""Linear regression with an L2 penalty: the one problem whose best response is known in closed form."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.families.proxy import Proxy
from hpo.layout import Layout
from hpo.tasks import Split, TaskData
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel.types import JobSpec, TensorFacts

SIZE, EXAMPLES, NOISE = 40, 256, 2.0


class OneLayer(Proxy):
    """y = w x."""

    dials = ()

    def __init__(self) -> None:
        super().__init__()
        self.readout = nn.Linear(SIZE, 1, bias=False)

    def compute(self, inputs, dials, noise, record):
        return self.readout(inputs)

    def noise_shapes(self, batch, dials):
        return {}


class LinearRegression(InnerProblem):
    """Mean of (w x - y)^2 over the training set, plus lambda / 2 |w|^2; every batch is the whole of it."""

    def __init__(self, l2: float, steps: int, scheduled: str = "cosine", **method: Any) -> None:
        generator = torch.Generator().manual_seed(4)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        truth = 0.3 * normal(SIZE)

        def split(examples: int) -> Split:
            inputs = normal(examples, SIZE)
            return Split(inputs, inputs @ truth + NOISE * normal(examples), torch.zeros(examples, dtype=torch.int64))

        data = TaskData("diabetes", split(EXAMPLES), split(EXAMPLES), split(EXAMPLES), 1, "")
        spec = JobSpec.model_validate(
            {
                "task": "diabetes",
                "optimizer": {
                    "name": "sgd",
                    "momentum": 0.9,
                    "learning_rate": 0.01,
                    "clip_norm": None,
                    "weight_decay": 0.0,
                },
                "schedule": {"name": scheduled},
                "inner": {"steps": steps, "batch_size": len(data.train), "seeds": 1},
                "regularization": {"l2": l2},
                "search": [{"name": "l2", "low": 1e-3, "high": 50}],
                "method": {"estimator": "delta_stn", **method},
            }
        )
        facts = [TensorFacts(name="readout.weight", shape=[1, SIZE], role="hidden")]
        super().__init__(spec, Layout(facts), [0.1], Space.from_spec(spec, facts), data, torch.float64)

    def build_module(self) -> Proxy:
        return OneLayer()

    def solution(self, log_l2: Tensor) -> Tensor:
        """w*(h) = (2 X'X / n + e^h I)^-1 2 X'y / n, [size]."""
        train = self.data.train
        gram = 2 * train.inputs.T @ train.inputs / len(train) + log_l2.exp() * torch.eye(SIZE, dtype=torch.float64)
        return torch.linalg.solve(gram, 2 * train.inputs.T @ train.labels / len(train))

    def validation_loss(self, log_l2: Tensor) -> Tensor:
        split = self.data.validation
        return (split.inputs @ self.solution(log_l2) - split.labels).square().mean()

    def best(self) -> float:
        """lambda of the lowest validation loss of w*."""
        grid = torch.linspace(-4, 3, 1401, dtype=torch.float64)
        return float(grid[torch.stack([self.validation_loss(h) for h in grid]).argmin()].exp())


@pytest.fixture(scope="session")
def build_regression():
    return LinearRegression
