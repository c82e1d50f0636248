"""Inner problems whose hypergradients are known, and every estimator of the catalogue."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.families.facts.registry import proxy_tensors
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.optimizers.rule import Rule
from hpo.optimizers.sgd import SGD
from hpo.tasks import Split, TaskData, load
from hpo.training.coefficients import Coefficients
from hpo.training.problem import Batch, Draw, InnerProblem
from hpo.training.space import Hyperparameter, Space
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec, TensorFacts

VALIDATION_EXAMPLES = 12
"""So few that the loss on them costs no more than a training step."""


class Linear(nn.Module):
    """So many numbers."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.readout = nn.Linear(size, 1, bias=False)


class WithoutNetwork(InnerProblem):
    """A training problem over a few numbers, written down and not learned from data.

    Args:
        size: how many numbers are trained.
        searched: names of global hyperparameters, or a space.
        fields: of the job.
    """

    def __init__(self, size: int, searched: list[str] | Space, **fields: Any) -> None:
        self.size = size
        spec = JobSpec.model_validate(
            {
                "task": "breast-cancer",
                "schedule": {"name": "constant"},
                "inner": {"steps": 17, "batch_size": 1, "seeds": 2},
                "search": [{"name": "learning_rate"}],
                **({"search": [{"name": name} for name in searched]} if isinstance(searched, list) else {}),
                **fields,
                "optimizer": {"name": "sgd", "momentum": 0.0, "clip_norm": None, **fields.get("optimizer", {})},
            }
        )
        facts = [TensorFacts(name="readout.weight", shape=[1, size], role="hidden")]
        space = Space.from_spec(spec, facts) if isinstance(searched, list) else searched
        super().__init__(spec, Layout(facts), [1.0], space, load(spec.task), torch.float64)

    def build_module(self) -> Any:
        return Linear(self.size)


class Quadratic(WithoutNetwork):
    """Training and validation loss sum(a w^2) / 2, whatever the data: runs have a closed form."""

    curvature = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)

    def __init__(self, learning_rate: float, weight_decay: float, steps: int = 17) -> None:
        rule = {"learning_rate": learning_rate, "weight_decay": weight_decay}
        inner = {"steps": steps, "batch_size": 1, "seeds": 2}
        super().__init__(3, ["learning_rate", "weight_decay"], optimizer=rule, inner=inner)

    def training_loss(self, tensors, loss, batch):
        return (self.curvature * tensors[0][:, 0].square()).sum(1) / 2

    def evaluate(self, parameters, loss, split):
        return (self.curvature * parameters.square()).sum(1) / 2, torch.zeros(len(parameters))


class Ridge(WithoutNetwork):
    """Least squares with L2: |X w - y|^2 / (2 n) + lambda |w|^2 / 2, started at its solution, where training stays."""

    def __init__(self, l2: float, optimizer: dict[str, Any] | None = None, steps: int = 17) -> None:
        generator = torch.Generator().manual_seed(1)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.x, self.x_validation = normal(40, 6), normal(25, 6)
        truth = normal(6)
        self.y = self.x @ truth + 0.5 * normal(40)
        self.y_validation = self.x_validation @ truth + 0.5 * normal(25)
        rule = {"learning_rate": 0.05, "weight_decay": 0.0, **(optimizer or {})}
        inner = {"steps": steps, "batch_size": 1, "seeds": 2}
        super().__init__(6, ["l2"], optimizer=rule, regularization={"l2": l2}, inner=inner)

    def solution(self, l2: Tensor) -> Tensor:
        gram = self.x.T @ self.x / len(self.x) + l2 * torch.eye(6, dtype=torch.float64)
        return torch.linalg.solve(gram, self.x.T @ self.y / len(self.x))

    def validation(self, weights: Tensor) -> Tensor:
        return (weights @ self.x_validation.T - self.y_validation).square().mean(dim=-1) / 2

    def initial(self, draw: Draw, table: Coefficients) -> tuple[Tensor, ...]:
        decay = self.spec.optimizer.weight_decay
        solved = [self.solution(l2 + decay) for l2 in table.loss["l2"][:, 0].detach()]
        return self.rule.init(torch.stack(solved))

    def training_loss(self, tensors, loss, batch):
        weights = tensors[0][:, 0]
        fit = (weights @ self.x.T - self.y).square().mean(dim=1) / 2
        return fit + loss["l2"][:, 0] * weights.square().sum(dim=1) / 2

    def evaluate(self, parameters, loss, split):
        return self.validation(parameters), torch.zeros(len(parameters))


class NoisyQuadratic(WithoutNetwork):
    """The noisy quadratic model (Wu et al. 2018, section 2): SGD on sum h (w - c)^2 / 2, a fresh c ~ N(0, 1 / h) each step.

    What SGD reaches is linear in the noise of every step, so its variance is a sum over steps of squares, each a number
    that plain SGD trains without noise: coordinate 0 is the mean and starts at 10, coordinate t starts at 0 and is pulled
    to one standard deviation at step t alone. The sum of their squares is E[w^2], exactly, and the expected loss
    sum h (E[w^2] + 1 / h) / 2 is never below 1.

    Args:
        steps: T.
        knots: log learning rates, evenly spaced over the run with straight lines between them; T for one at each step.
    """

    curvature = torch.tensor([1.0, 0.01], dtype=torch.float64)

    def __init__(self, steps: int, knots: int) -> None:
        rates = [Hyperparameter("knot", "global", str(knot), 1.0, 1e-6, 100.0) for knot in range(knots)]
        place = torch.linspace(0, knots - 1, steps, dtype=torch.float64)
        self.hats = (1 - (place[:, None] - torch.arange(knots)).abs()).clamp(min=0)
        super().__init__(2 * (steps + 1), Space(rates), inner={"steps": steps, "batch_size": 1, "seeds": 1})

    def coefficients(self, points: Tensor) -> Coefficients:
        still = torch.zeros(len(points), 1, dtype=torch.float64)
        rates = (self.hats @ points.T).exp()
        return Coefficients({}, {}, {"momentum": still}, {"learning_rate": rates[:, :, None]})

    def greedy(self) -> Tensor:
        """The rate of each step that leaves the lowest expected loss right after it, [T]."""
        h, square, found = self.curvature, torch.full((2,), 100.0, dtype=torch.float64), []
        for _ in range(self.steps):
            rate = (h**2 * square).sum() / (h**3 * (square + 1 / h)).sum()
            found.append(rate)
            square = (1 - rate * h) ** 2 * square + (rate * h) ** 2 / h
        return torch.stack(found)

    def initial(self, draw: Draw, table: Coefficients) -> tuple[Tensor, ...]:
        start = torch.zeros(len(draw.streams), 2, self.steps + 1, dtype=torch.float64)
        start[:, :, 0] = 10.0
        return self.rule.init(start.flatten(1))

    def batch(self, draw: Draw, step: int) -> Batch:
        pull = torch.zeros(2, self.steps + 1, dtype=torch.float64)
        pull[:, step + 1] = self.curvature.rsqrt()
        return Batch(pull, draw.batches[:, step])

    def training_loss(self, tensors, loss, batch):
        away = tensors[0].view(-1, 2, self.steps + 1) - batch.inputs
        return (self.curvature[:, None] * away.square()).sum(dim=(1, 2)) / 2

    def evaluate(self, parameters, loss, split):
        squares = parameters.view(-1, 2, self.steps + 1).square().sum(dim=2)
        return (self.curvature * squares + 1).sum(1) / 2, torch.zeros(len(parameters))


class LinearMap(SGD):
    """x <- A x + theta signs, whatever the gradient; everything else is by default."""

    def __init__(self, matrix: Tensor, signs: Tensor) -> None:
        self.matrix, self.signs = matrix, signs

    def update(self, state, gradient, tables, layout, step):
        return (state[0] @ self.matrix.T + tables["learning_rate"] * self.signs, state[1])

    in_place, pull_back = Rule.in_place, Rule.pull_back


class InfluenceBalancing(WithoutNetwork):
    """x <- A x + theta (1 x 10, -1 x 13), A with 0.5 on the diagonal and above it; the loss is (x_0 - 1)^2 / 2.

    The first units pull x_0 up at once, the more numerous others down, later: in the long run x_0 = -6 theta (Tallec &
    Ollivier 2017, section 4; Vicol et al. 2021, section 5.1). theta is the learning rate.
    """

    units, positive = 23, 10

    def __init__(self, theta: float, steps: int) -> None:
        self.matrix = 0.5 * torch.eye(self.units, dtype=torch.float64)
        self.matrix += 0.5 * torch.diag(torch.ones(self.units - 1, dtype=torch.float64), 1)
        self.signs = torch.cat([torch.ones(self.positive), -torch.ones(self.units - self.positive)]).double()
        inner = {"steps": steps, "batch_size": 1, "seeds": 1}
        super().__init__(self.units, ["learning_rate"], optimizer={"learning_rate": theta}, inner=inner)
        self.rule = LinearMap(self.matrix, self.signs)

    def initial(self, draw: Draw, table: Coefficients) -> tuple[Tensor, ...]:
        return self.rule.init(torch.ones(len(draw.streams), self.units, dtype=torch.float64))

    def training_loss(self, tensors, loss, batch):
        return 0.0 * tensors[0].square().sum(dim=(1, 2))

    def evaluate(self, parameters, loss, split):
        return (parameters[:, 0] - 1).square() / 2, torch.zeros(len(parameters))


def brief(data: TaskData, examples: int = VALIDATION_EXAMPLES) -> TaskData:
    """The task with the first few validation examples only."""
    split = data.validation
    return replace(data, validation=Split(split.inputs[:examples], split.labels[:examples], split.sources[:examples]))


BuildProxy = Callable[..., InnerProblem]


@pytest.fixture
def build_proxy() -> BuildProxy:
    """(dtype, spec fields) -> the inner problem of a job of any family, with a short validation split."""

    def build(dtype: torch.dtype = torch.float64, **fields: Any) -> InnerProblem:
        spec = JobSpec.model_validate({"task": "digits", **fields})
        tensors = proxy_tensors(spec.model, TASKS[spec.task])
        std = [base_init_std(tensor, spec.model.activation) for tensor in tensors]
        space = Space.from_spec(spec, tensors)
        return InnerProblem(spec, Layout(tensors), std, space, brief(load(spec.task)), dtype)

    return build


@pytest.fixture
def build_quadratic() -> type[Quadratic]:
    return Quadratic


@pytest.fixture
def build_ridge() -> type[Ridge]:
    return Ridge


@pytest.fixture
def build_noisy_quadratic() -> type[NoisyQuadratic]:
    return NoisyQuadratic


@pytest.fixture
def build_influence() -> type[InfluenceBalancing]:
    return InfluenceBalancing
