"""Small inner problems in float64 for the oracles."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.families.facts.mlp import mlp_tensors
from hpo.layout import Layout
from hpo.mup.rules import base_init_std
from hpo.tasks import load
from hpo.training.problem import Draw, InnerProblem
from hpo.training.space import Space
from windtunnel.types import JobSpec

BuildProblem = Callable[..., InnerProblem]
Differences = Callable[[InnerProblem, Tensor, Draw], Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def build_problem() -> BuildProblem:
    """(dtype, spec fields) -> the inner problem of a job."""

    def build(dtype: torch.dtype = torch.float64, **fields: Any) -> InnerProblem:
        spec = JobSpec.model_validate({"task": "digits", **fields})
        data = load(spec.task)
        tensors = mlp_tensors(data.features, data.classes, spec.model.width, spec.model.depth)
        std = [base_init_std(tensor, spec.model.activation) for tensor in tensors]
        return InnerProblem(spec, Layout(tensors), std, Space.from_spec(spec, tensors), data, dtype)

    return build


@pytest.fixture
def central_differences() -> Differences:
    """(problem, points, draw) -> d validation loss / d coordinate by the five-point rule, [members, k]."""

    def slopes(problem: InnerProblem, points: Tensor, draw: Draw) -> Tensor:
        def loss(at: Tensor) -> Tensor:
            trained = problem.train(at, draw)
            return problem.evaluate(trained.parameters, trained.loss, problem.data.validation)[0]

        # Wide enough for rounding, narrow enough that no step's gradient norm crosses the clip threshold on the way.
        width, columns = 2e-4, []
        for coordinate in range(points.shape[1]):
            step = torch.zeros_like(points)
            step[:, coordinate] = width
            near = loss(points + step) - loss(points - step)
            far = loss(points + 2 * step) - loss(points - 2 * step)
            columns.append((8 * near - far) / (12 * width))
        return torch.stack(columns, dim=1)

    return slopes
