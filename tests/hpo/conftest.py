"""Small inner problems in float64 for the oracles."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hpo.inner import InnerProblem
from hpo.layout import Layout
from hpo.mup.proxies import mlp_tensors
from hpo.mup.rules import base_init_std
from hpo.space import Space
from hpo.tasks import load
from windtunnel.types import JobSpec

BuildProblem = Callable[..., InnerProblem]


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
