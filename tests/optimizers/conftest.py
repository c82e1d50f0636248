"""Small plans and inner problems under any optimizer."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import torch

from hpo.families.facts.registry import proxy_tensors
from hpo.layout import Layout
from hpo.mup.resolve import resolve
from hpo.mup.rules import base_init_std
from hpo.tasks import load
from hpo.training.problem import InnerProblem
from hpo.training.space import Space
from windtunnel.tasks import TASKS
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
from windtunnel.types.optimizers import BOUNDS

PlanUnder = Callable[..., TransferPlan]
ProblemUnder = Callable[..., InnerProblem]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def plan_under() -> PlanUnder:
    """``plan_under(optimizer, decay, clip_norm, **job)``: a plan at the proxy's own size; tensors differ in rates."""

    def plan_under(optimizer: str, decay: str, clip_norm: float = 0.5, **fields: Any) -> TransferPlan:
        given = {"name": optimizer, "decay": decay, "weight_decay": 0.1, "clip_norm": clip_norm}
        model, schedule = {"width": 4, "depth": 2}, {"name": "constant"}
        job = {"task": "breast-cancer", "model": model, "optimizer": given, "schedule": schedule, **fields}
        spec = JobSpec.model_validate(job)
        tensors = proxy_tensors(spec.model, TASKS[spec.task])
        values = {"learning_rate.input": 0.02, "learning_rate.hidden": 0.01, "learning_rate.output": 0.03}
        if "eps" in spec.optimizer.info.settings:
            values["eps.input"] = 1e-3
        rows = resolve(spec, values, tensors, tensors)
        own = {name: spec.optimizer.default(name) for name in BOUNDS if name in spec.optimizer.info.settings}
        return TransferPlan.model_construct(
            id="plan",
            task=spec.task,
            kind=TASKS[spec.task].kind,
            loss=None,
            parametrization=spec.parametrization,
            model=spec.model,
            width=spec.model.width,
            depth=spec.model.depth,
            steps=20,
            batch_size=8,
            context=1,
            features=TASKS[spec.task].features,
            classes=TASKS[spec.task].classes,
            optimizer=spec.optimizer.name,
            decay=spec.optimizer.decay_kind,
            **{name: own.get(name) for name in ("momentum", "beta1", "beta2")},
            clip_norm=spec.optimizer.clip_norm,
            schedule=spec.schedule,
            roles=[],
            tensors=rows,
            coordinate_check=None,
            forced=False,
            in_your_loop=[],
            not_covered=[],
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            provenance=Provenance(spec_sha256="0", data_sha256="0", versions={}, threads=1, seed=0),
        )

    return plan_under


@pytest.fixture
def problem_under() -> ProblemUnder:
    """``problem_under(optimizer, decay, settings={}, **spec fields)``: the inner problem of a small job in float64."""

    def problem_under(optimizer: str, decay: str, **fields: Any) -> InnerProblem:
        given = {"name": optimizer, "decay": decay, "weight_decay": 0.1, "learning_rate": 0.02, "clip_norm": 0.5}
        given |= fields.pop("settings", {})
        job = {
            "task": "breast-cancer",
            "model": {"width": 4, "depth": 2},
            "optimizer": given,
            "inner": {"steps": 6, "batch_size": 8, "seeds": 2},
            **fields,
        }
        spec = JobSpec.model_validate(job)
        tensors = proxy_tensors(spec.model, TASKS[spec.task])
        std = [base_init_std(tensor, spec.model.activation) for tensor in tensors]
        return InnerProblem(spec, Layout(tensors), std, Space.from_spec(spec, tensors), load(spec.task), torch.float64)

    return problem_under


@pytest.fixture
def finished_under() -> Callable[[dict[str, Any]], TuneResult]:
    """``finished_under(spec fields)``: the result of a job, with numbers that no test looks at."""

    def finished_under(fields: dict[str, Any]) -> TuneResult:
        spec = JobSpec.model_validate(fields)
        loss = LossEstimate(mean=0.2, stderr=0.01, seeds=8, accuracy=0.95)
        point = PointEvaluation(hyperparameters={}, validation=loss, test=loss)
        tensors = proxy_tensors(spec.model, TASKS[spec.task])
        return TuneResult(
            spec=spec,
            start=point,
            best=point,
            schedule=ScheduleCurve(times=[0.0, 1.0], start=[1.0, 0.1], best=[1.0, 0.1]),
            estimator=EstimatorChoice(estimator="es", engine="population", adjoint="none", checkpointing="none", reason=""),
            chaos=None,
            cost=Cost(run_equivalents=1.0, gradient_evaluations=1.0, wall_seconds=1.0),
            proxy=ProxyFacts(tensors=tensors, parameters=1, features=30, classes=2),
            coordinate_check=None,
            dropped_members=0,
            provenance=Provenance(spec_sha256="0", data_sha256="0", versions={}, threads=1, seed=0),
        )

    return finished_under
