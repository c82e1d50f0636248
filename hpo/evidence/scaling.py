"""Trains the tuned values on a grid of widths and run lengths, and fits scaling laws to the final losses."""

from collections.abc import Mapping
from math import isfinite

import torch

from hpo.evidence.scaled import ScaledProblem
from hpo.families.facts.registry import footprint
from hpo.laws.counting import count
from hpo.laws.fit import fit_laws
from hpo.seeding import Purpose
from hpo.tasks import TaskData, data_of
from hpo.training.evaluation import SeedPath, judge, mean_and_stderr
from hpo.training.problem import OnStep, silent
from windtunnel.types import JobSpec
from windtunnel.types.checks.transfer import scaling_steps, scaling_widths
from windtunnel.types.laws import LawColumns, LawFitRequest, as_columns
from windtunnel.types.scaling import ScalingPoint, ScalingReport, table_rows
from windtunnel.types.transfer import ScalingSpec


def member_steps_of_grid(spec: JobSpec) -> int:
    """Member-steps of the grid that a spec asks for, for progress bars; a step counts the same at every width."""
    asked = spec.transfer.scaling
    if asked is None:
        return 0
    return asked.seeds * len(scaling_widths(spec.model, asked)) * sum(scaling_steps(spec.inner.steps, asked))


def scaling_report(
    spec: JobSpec,
    hyperparameters: Mapping[str, float],
    asked: ScalingSpec,
    *,
    population: int = 1,
    on_step: OnStep = silent,
    data: TaskData | None = None,
) -> ScalingReport:
    """The grid of final losses at each width and number of steps, and the laws of N and D fitted to it.

    The tuned values are carried to each width, and are the same for all numbers of steps. Every run has the whole schedule,
    compressed into its steps.

    Args:
        spec: the job.
        hyperparameters: label -> tuned value at the proxy's width.
        asked: widths, steps, seeds (the same everywhere).
        population: members trained as one computation at the proxy's width, at most; fewer at larger widths.
        on_step: called with the number of member-steps.
        data: the task; None: it is loaded.

    Raises:
        Refused: a tuned value has no rule for another width.
    """
    data = data_of(spec) if data is None else data
    paths: list[SeedPath] = [(spec.seed, Purpose.SCALING, 0, index) for index in range(asked.seeds)]
    own, points, cost = footprint(spec.model, spec.info).multiply_adds, [], 0.0
    for width in scaling_widths(spec.model, asked):
        model = spec.model.model_copy(update={"width": width})
        size = count(model, spec.info, spec.optimizer.name)
        weight = footprint(model, spec.info).multiply_adds / own
        together = max(1, int(population * min(1.0, (spec.model.width / width) ** 2)))
        for steps in scaling_steps(spec.inner.steps, asked):
            brief = spec.model_copy(update={"inner": spec.inner.model_copy(update={"steps": steps})})
            problem = ScaledProblem(brief, hyperparameters, width, data)
            losses = judge(problem, torch.zeros(1, 2, dtype=torch.float64), paths, together, on_step).validation[0]
            mean, stderr, survivors = mean_and_stderr(losses)
            cost += asked.seeds * weight * steps / spec.inner.steps
            points.append(
                ScalingPoint(
                    width=width,
                    steps=steps,
                    parameters=size.non_embedding,
                    tokens=steps * spec.inner.batch_size * spec.context,
                    loss=mean if survivors and isfinite(mean) else None,
                    stderr=stderr,
                    seeds=survivors,
                )
            )
    return _fitted(points, spec.inner.batch_size * spec.context, cost)


def _fitted(points: list[ScalingPoint], batch: int, cost: float) -> ScalingReport:
    """The report with the laws of the points whose losses are finite."""
    rows = table_rows(points, batch)
    if not rows:
        return ScalingReport(points=points, laws=[], refusals=[], run_equivalents=cost)
    columns = LawColumns.model_validate(as_columns(rows))
    laws, refusals = fit_laws(LawFitRequest(columns=columns))
    return ScalingReport(points=points, laws=laws, refusals=refusals, run_equivalents=cost)
