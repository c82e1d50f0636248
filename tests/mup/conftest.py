"""A finished job for transfer tests: real spec and tensors, losses that no test looks at."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, Literal

import pytest
import torch

from hpo.families.facts.registry import proxy_tensors
from hpo.plans.transfer import make_plan
from windtunnel.tasks import TASKS
from windtunnel.types import (
    CoordinateCheck,
    CoordinateSlope,
    Cost,
    EstimatorChoice,
    JobSpec,
    LossEstimate,
    PointEvaluation,
    Provenance,
    ProxyFacts,
    ScheduleCurve,
    Target,
    TransferPlan,
    TuneResult,
)

Finish = Callable[..., TuneResult]
MakePlan = Callable[..., TransferPlan]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests share the machine, and one thread gives the same numbers everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """``needs("optax")``: a library that is not there is an error where nothing may be left out (CI), else a skip."""

    def needs(*libraries: str) -> None:
        lacking = [name for name in libraries if find_spec(name) is None]
        if lacking and os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(f"{', '.join(lacking)} not installed; with CI set every library must be there")
        if lacking:
            pytest.skip(f"{', '.join(lacking)} not installed (pip install -e '.[dev]')")

    return needs


@pytest.fixture(scope="session")
def finish() -> Finish:
    """``finish(spec fields, hyperparameters, verdict)``: the result of a job that found these values."""
    return finished


@pytest.fixture(scope="session")
def plan_of() -> MakePlan:
    """``plan_of(result, width=..., depth=..., steps=..., force=...)``."""

    def plan_of(result: TuneResult, *, force: bool = False, **target: int) -> TransferPlan:
        return make_plan(
            result,
            Target(**target),
            plan_id="plan_test",
            job_id="job_test",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            force=force,
        )

    return plan_of


def finished(
    fields: dict[str, Any],
    hyperparameters: dict[str, float] | None = None,
    verdict: Literal["pass", "inconclusive", "fail"] | None = "pass",
) -> TuneResult:
    spec = JobSpec.model_validate({"task": "digits"} | fields)
    task = TASKS[spec.task]
    tensors = proxy_tensors(spec.model, task)
    loss = LossEstimate(mean=0.2, stderr=0.01, seeds=8, accuracy=0.95)
    point = PointEvaluation(hyperparameters=hyperparameters or {}, validation=loss, test=loss)
    return TuneResult(
        spec=spec,
        start=point,
        best=point,
        schedule=ScheduleCurve(times=[0.0, 1.0], start=[1.0, 0.1], best=[1.0, 0.1]),
        estimator=EstimatorChoice(
            estimator="reverse", engine="population", adjoint="bounded", checkpointing="sqrt", reason="a test"
        ),
        chaos=None,
        cost=Cost(run_equivalents=300.0, gradient_evaluations=300.0 * spec.inner.steps, wall_seconds=60.0),
        proxy=ProxyFacts(tensors=tensors, parameters=9_000, features=task.features, classes=task.classes),
        coordinate_check=None if verdict is None else check(verdict),
        dropped_members=0,
        provenance=Provenance(spec_sha256="0" * 64, data_sha256="1" * 64, versions={}, threads=1, seed=spec.seed),
    )


def check(verdict: Literal["pass", "inconclusive", "fail"]) -> CoordinateCheck:
    slope = {"pass": 0.01, "inconclusive": 0.2, "fail": 0.62}[verdict]
    return CoordinateCheck(
        verdict=verdict,
        widths=[64, 128, 256, 512],
        steps=4,
        seeds=3,
        learning_rate=0.01,
        slopes=[CoordinateSlope(module="readout", quantity="change", step=4, slope=slope, verdict=verdict)],
        sizes={"readout": [1.0, 1.0, 1.0, 1.0]},
        losses=[1.0, 0.9, 0.8, 0.7],
    )
