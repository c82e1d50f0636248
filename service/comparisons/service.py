"""Compares jobs of one caller, for routes and pages alike."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from service.caller import Caller
from service.comparisons.importances import importances
from store import jobs
from store.database import Database
from store.events import history
from windtunnel.types import Job, JobEvent, OuterStep, TuneResult
from windtunnel.types.comparisons import ComparedJob, Comparison, Curve, Difference, Points


def compare(database: Database, caller: Caller, job_ids: Sequence[str]) -> Comparison:
    """The caller's jobs side by side, with importances. Raises JobNotFound, as ``side_by_side`` does."""
    found = side_by_side(database, caller, job_ids)
    weighed = [each.model_copy(update={"importances": importances(each.points)}) for each in found.items]
    return found.model_copy(update={"items": weighed})


def side_by_side(database: Database, caller: Caller, job_ids: Sequence[str]) -> Comparison:
    """The caller's jobs side by side, without importances, which take the longest to compute.

    Raises:
        JobNotFound: the caller does not have one of them.
    """
    read = []
    for job_id in job_ids:
        with database.snapshot() as session:
            job = jobs.get(session, job_id, owner=caller.owner)
            found = jobs.result(session, job_id, owner=caller.owner)
            log = history(session, job_id, owner=caller.owner)
        read.append((job, found, _outer_steps(log)))
    items = []
    for job, _, steps in read:
        items.append(ComparedJob(job=job, curve=curve_of(steps), points=points_of(steps), importances=None))
    return Comparison(
        items=items,
        spec=spec_differences([job for job, _, _ in read]),
        results=result_rows([(job, found) for job, found, _ in read]),
    )


def curve_of(steps: Sequence[OuterStep]) -> Curve:
    """Loss and best loss so far over the cost."""
    losses = [step.loss for step in steps]
    best = accumulate(losses, lambda so_far, loss: min((each for each in (so_far, loss) if each is not None), default=None))
    return Curve(cost=[step.run_equivalents for step in steps], loss=losses, best=list(best))


def points_of(steps: Sequence[OuterStep]) -> Points:
    """Every point that the steps report; of steps that do not name them, the one that each stands at."""
    labels = list(dict.fromkeys(label for step in steps for label in step.hyperparameters))
    columns: dict[str, list[float]] = {label: [] for label in labels}
    losses: list[float | None] = []
    for step in steps:
        if step.tried is None:
            values, reached = {label: [value] for label, value in step.hyperparameters.items()}, [step.loss]
        else:
            values, reached = step.tried.hyperparameters, step.tried.losses
        if set(values) != set(labels):  # a step of another version, which had other labels
            continue
        losses += reached
        for label in labels:
            columns[label] += values[label]
    return Points(hyperparameters=columns, losses=losses, complete=bool(steps) and all(step.tried for step in steps))


def spec_differences(compared: Sequence[Job]) -> list[Difference]:
    """Fields of the specs that are not the same in all of the jobs; the name of a job is none of them."""
    specs = [dict(_leaves(job.spec.model_dump(mode="json", exclude={"name"}))) for job in compared]
    named = dict.fromkeys(name for spec in specs for name in spec)
    rows = [Difference(name=name, kind="spec", values=[spec.get(name) for spec in specs]) for name in named]
    return [row for row in rows if any(value != row.values[0] for value in row.values)]


def result_rows(compared: Sequence[tuple[Job, TuneResult | None]]) -> list[Difference]:
    """Measurements of each job, and the hyperparameters at its best point."""
    measured = [_measured(job, found) for job, found in compared]
    names = dict.fromkeys(name for each in measured for name in each)
    rows = [Difference(name=name, kind="result", values=[each.get(name) for each in measured]) for name in names]
    best = [
        found.best.hyperparameters if found else job.best.hyperparameters if job.best else {} for job, found in compared
    ]
    labels = dict.fromkeys(label for each in best for label in each)
    return rows + [
        Difference(name=label, kind="hyperparameter", values=[each.get(label) for each in best]) for label in labels
    ]


def _measured(job: Job, found: TuneResult | None) -> dict[str, Any]:
    ran = (job.finished_at - job.started_at).total_seconds() if job.started_at and job.finished_at else None
    told: dict[str, Any] = {
        "state": job.state,
        "best loss": job.best.loss if job.best else None,
        "best loss, standard error": job.best.stderr if job.best else None,
        "judged on": job.best.judged_on if job.best else None,
        "gain over the start": job.best.gain.mean if job.best and job.best.gain else None,
        "gain over the start, standard error": job.best.gain.stderr if job.best and job.best.gain else None,
        "test loss": found.best.test.mean if found else None,
        "test loss, standard error": found.best.test.stderr if found else None,
        "test accuracy": found.best.test.accuracy if found else None,
        "coordinate check": found.coordinate_check.verdict if found and found.coordinate_check else None,
        "cost, runs": job.progress.run_equivalents,
        "outer steps": job.progress.outer_step,
        "seconds": ran,
    }
    return told


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything in a document; a list of plain values is one value, items of another are numbered.

    The hyperparameters of the search are found by their names, so that their order is no difference.
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            name = item.get("name", index) if isinstance(item, Mapping) else index
            rest = {key: inner for key, inner in item.items() if key != "name"} if isinstance(item, Mapping) else item
            yield f"{path}.{name}", "yes"
            yield from _leaves(rest, f"{path}.{name}")
    else:
        yield path, value


def _outer_steps(log: Sequence[JobEvent]) -> list[OuterStep]:
    return [OuterStep.model_validate(event.data) for event in log if event.type == "outer_step"]
