"""Runs in bf16: passes of the model are rounded, what is summed over steps is not, and a certificate says how far."""

from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity
from torch.utils._python_dispatch import TorchDispatchMode

from hpo.certificate.certificate import bf16_cosine
from hpo.estimators.reverse import Reverse
from hpo.study import Study
from hpo.training.problem import InnerProblem
from windtunnel.types import JobSpec
from windtunnel.types.estimators import ESTIMATORS

SMALL: dict[str, Any] = {
    "task": "digits",
    "model": {"width": 16, "depth": 2},
    "inner": {"steps": 12, "batch_size": 32, "seeds": 2},
    "search": [{"name": "l2"}, {"name": "dropout"}],
}


def study(precision: str, **fields: Any) -> Study:
    inner = {**fields.pop("inner", {}), "precision": precision}
    return Study(JobSpec.model_validate({"task": "digits", **fields, "inner": inner}))


class Products(TorchDispatchMode):
    """Notes the dtypes of the factors of every matrix product and convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in ("mm", "bmm", "addmm", "baddbmm", "convolution", "convolution_backward"):
            self.dtypes |= {each.dtype for each in args if isinstance(each, torch.Tensor)}
        return func(*args, **(kwargs or {}))


def products(problem: InnerProblem) -> set[torch.dtype]:
    draw, points = problem.draw([(0, 0)]), problem.space.start()[None]
    with Products() as seen:
        found = Reverse().estimate(problem, points, draw)
    assert found.growth is not None and found.growth.dtype == found.value.dtype == torch.float32
    assert problem.train(points, draw).parameters.dtype == torch.float32
    return seen.dtypes


@pytest.mark.parametrize("family", ["mlp", "resnet", "transformer"])
def test_passes_and_their_derivatives_are_in_bf16_and_all_that_is_kept_in_float32(family: str) -> None:
    task = "python-text" if family == "transformer" else "digits"
    small = {
        "task": task,
        "model": {"family": family, "width": 16, "depth": 1},
        "inner": {"steps": 2, "batch_size": 4, "seeds": 1},
        "method": {"estimator": "reverse"},
    }
    assert products(study("bf16", **small).problem) == {torch.bfloat16}
    assert products(study("float32", **small).problem) == {torch.float32}


@pytest.mark.parametrize(("family", "task"), [("mlp", "digits"), ("resnet", "digits"), ("transformer", "python-text")])
def test_a_hypergradient_in_bf16_points_where_that_in_float32_does(family: str, task: str) -> None:
    job = study("bf16", task=task, model={"family": family}, method={"estimator": "reverse"})
    assert 0.99 < bf16_cosine(job.problem, job.estimator, job.space.start()) < 1


@pytest.mark.parametrize("name", [name for name, info in ESTIMATORS.items() if not info.why_not_bf16])
def test_every_estimator_that_takes_bf16_computes_in_it(name: str) -> None:
    found = []
    for precision in ("bf16", "float32"):
        job = study(precision, **{**SMALL, "method": {"estimator": name}})
        points = job.space.start().expand(2, -1)
        found.append(job.estimator.estimate(job.problem, points, job.problem.draw([(0, 0), (0, 1)])).gradient)
    assert not torch.equal(*found)
    assert (cosine_similarity(*found, dim=1) > 0.98).all(), found


def test_the_certificate_of_a_job_in_bf16_tells_the_cosine_and_that_of_another_does_not() -> None:
    small = {
        **SMALL,
        "model": {"width": 8, "depth": 1},
        "outer": {"steps": 1, "finish_seeds": 2, "scout": False},
        "method": {"estimator": "reverse"},
        "parametrization": "standard",
        "transfer": {"noise_scale": False},
    }
    results = []
    for precision in ("bf16", "float32"):
        job = study(precision, **small)
        list(job)
        results.append(job.finish().certificate)
    rounded, single = results
    assert rounded is not None and single is not None
    # In float64 both are the same certificate at the start.
    assert rounded.points[0].reverse == single.points[0].reverse
    cosines = [point.bf16_cosine for point in rounded.points]
    assert all(cosine is not None and 0.99 < cosine <= 1 for cosine in cosines)
    assert f"bf16 against float32: cosine {cosines[0]:.4f} at the start" in rounded.sentence
    assert [point.bf16_cosine for point in single.points] == [None, None] and "bf16" not in single.sentence
