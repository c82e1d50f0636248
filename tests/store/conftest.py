"""Jobs and results to put into a database."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from store import jobs, leases
from store.database import Database
from store.keys import LOCAL
from store.leases import Lease
from windtunnel.types import (
    Cost,
    EstimatorChoice,
    JobSpec,
    LossEstimate,
    PointEvaluation,
    Provenance,
    ProxyFacts,
    ScheduleCurve,
    TransferPlan,
    TuneResult,
)


@pytest.fixture
def spec() -> JobSpec:
    """The smallest request there is."""
    return JobSpec(task="digits")


@pytest.fixture
def submitted(database: Database, spec: JobSpec) -> str:
    """Id of a job that waits."""
    with database.transaction() as s:
        return jobs.submit(s, spec, owner=LOCAL).id


@pytest.fixture
def lease(database: Database, submitted: str) -> Lease:
    """The first lease of that job, good for a minute."""
    with database.transaction() as s:
        taken = leases.claim(s, submitted, "worker-1", 60)
    assert taken is not None
    return taken


@pytest.fixture
def tune_result(spec: JobSpec) -> TuneResult:
    """A result whose numbers have no short decimal form, so that rounding on the way would show."""
    loss = LossEstimate(mean=0.1 + 0.2, stderr=1 / 3, seeds=8, accuracy=2 / 3)
    point = PointEvaluation(hyperparameters={"learning_rate.hidden": 1e-3 / 7}, validation=loss, test=loss)
    return TuneResult(
        spec=spec,
        start=point,
        best=point,
        schedule=ScheduleCurve(times=[0.5, 1.0], start=[1.0, 0.1], best=[1.0, 1 / 3]),
        estimator=EstimatorChoice(
            estimator="reverse", engine="population", adjoint="bounded", checkpointing="none", reason="r"
        ),
        chaos=None,
        cost=Cost(run_equivalents=17.3, gradient_evaluations=3460.0, wall_seconds=1.5),
        proxy=ProxyFacts(tensors=[], parameters=1, features=64, classes=10),
        coordinate_check=None,
        dropped_members=0,
        provenance=Provenance(spec_sha256="0" * 64, data_sha256="1" * 64, versions={}, threads=1, seed=0),
    )


@pytest.fixture
def make_plan(spec: JobSpec) -> Callable[[str, str], TransferPlan]:
    """Makes the plan ``(plan_id, job_id)``."""

    def make(plan_id: str, job_id: str) -> TransferPlan:
        return TransferPlan(
            id=plan_id,
            job_id=job_id,
            created_at=datetime(2024, 2, 29, tzinfo=UTC),
            task="digits",
            parametrization="mup",
            model=spec.model,
            width=1024,
            depth=2,
            steps=200,
            batch_size=64,
            width_ratio=16.0,
            features=64,
            classes=10,
            optimizer="adamw",
            decay="decoupled",
            momentum=None,
            beta1=0.9,
            beta2=0.999,
            clip_norm=1.0,
            schedule=spec.schedule,
            roles=[],
            tensors=[],
            parameters=1,
            hyperparameters={"learning_rate": 1 / 3},
            proxy_validation=LossEstimate(mean=0.3, stderr=0.01, seeds=8),
            tuning_share=0.1,
            assumptions=[],
            not_covered=[],
            coordinate_check=None,
            forced=False,
            provenance=Provenance(spec_sha256="0" * 64, data_sha256="1" * 64, versions={}, threads=1, seed=0),
        )

    return make
