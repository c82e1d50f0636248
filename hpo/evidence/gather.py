"""Measures everything at a job's best point that decides whether its values transfer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from hpo.evidence.coordcheck import check_steps, coordinate_check
from hpo.evidence.drift import ladder_certificate, ladder_steps
from hpo.evidence.horizon import horizon_fit, horizon_steps
from hpo.evidence.noise_scale import noise_scale, noise_scale_steps
from hpo.evidence.scaling import member_steps_of_grid, scaling_report
from hpo.tasks import TaskData
from hpo.training.problem import InnerProblem, OnStep
from windtunnel.types import CoordinateCheck, JobSpec
from windtunnel.types.ladders import LadderCertificate
from windtunnel.types.scaling import ScalingReport
from windtunnel.types.translations import HorizonFit, NoiseScale


@dataclass(frozen=True)
class Evidence:
    """Measurements at the best point; each is None if it was not requested or does not apply."""

    coordinate_check: CoordinateCheck | None
    ladder: LadderCertificate | None
    noise_scale: NoiseScale | None
    horizon: HorizonFit | None
    scaling: ScalingReport | None


def evidence_steps(spec: JobSpec) -> int:
    """Member-steps of all measurements that a spec asks for, for progress bars."""
    rules, steps = spec.transfer, check_steps(spec) if spec.parametrization != "standard" else 0
    if rules.noise_scale:
        steps += noise_scale_steps(spec.inner.steps)
    if rules.horizons:
        steps += horizon_steps(spec.inner.steps, rules.horizons)
    return steps + (ladder_steps(spec) if rules.ladder is not None else 0) + member_steps_of_grid(spec)


def gather(
    spec: JobSpec,
    problem: InnerProblem,
    point: Tensor,
    values: Mapping[str, float],
    *,
    population: int,
    enter: Callable[[float], None],
    on_step: OnStep,
    data: TaskData,
) -> Evidence:
    """The measurements that the spec asks for.

    Args:
        spec: the job.
        problem: its inner problem.
        point: the best point, [k].
        values: label -> value at the best point.
        population: members of plain runs that train as one computation, at most.
        enter: called once with the number of member-steps to come.
        on_step: called with the number of member-steps done.
        data: the task.
    """
    rules = spec.transfer
    enter(evidence_steps(spec))
    check = None
    if spec.parametrization != "standard":
        check = coordinate_check(spec, values, on_step=on_step, data=data)
    ladder = None
    if rules.ladder is not None:
        ladder = ladder_certificate(spec, values, rules.ladder, population=population, on_step=on_step, data=data)
    horizon = None
    if rules.horizons:
        horizon = horizon_fit(spec, values, rules.horizons, population=population, on_step=on_step, data=data)
    scale = noise_scale(problem, point, on_step=on_step) if rules.noise_scale else None
    grid = None
    if rules.scaling is not None:
        grid = scaling_report(spec, values, rules.scaling, population=population, on_step=on_step, data=data)
    return Evidence(check, ladder, scale, horizon, grid)
