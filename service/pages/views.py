"""Gathers what each page shows, in one snapshot of the database."""

import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from hpo.exports.registry import export, why_not
from service.caller import Caller
from service.jobs.schemas import JobsQuery
from service.pages.causes import likely_causes
from service.pages.findings import asked, hyperparameter_rows, seconds_left, verdict_of
from service.pages.job_fields import fork_form, labels_form, plan_form
from service.pages.rendering import sparkline
from service.pages.sentences import sentence
from service.pages.submitting import field_help, first_form
from service.settings import ServiceSettings
from store import datasets, jobs, law_fits, metrics, plans, workers
from store.database import Database
from store.events import history
from windtunnel.figures.response import said
from windtunnel.tasks import TASKS
from windtunnel.types import TERMINAL_STATES, Job, JobEvent, JobState, OuterStep, TuneResult, WorkerInfo
from windtunnel.types.comparisons import MOST_COMPARED
from windtunnel.types.exports import EXPORTS
from windtunnel.types.jobs import JobSort
from windtunnel.types.results import ChaosReading

STATES: tuple[JobState, ...] = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
COLUMNS: tuple[tuple[str, JobSort | None, bool], ...] = (
    ("Job", "name", False),
    ("State", "state", False),
    ("Task", "task", False),
    ("Progress", None, False),
    ("Best loss", "loss", True),
    ("Trend", None, False),
    ("Cost, runs", "cost", True),
    ("Created", "created", True),
)
"""(heading, order that it leads to, whether its cells are numbers) of each column of the list."""
SPARKLINE_POINTS = 40
LOG_LINES = 200
SHOWN_TENSORS = 60


def jobs_view(
    database: Database, settings: ServiceSettings, query: JobsQuery, caller: Caller, chosen: str | None
) -> dict[str, Any]:
    """The list of jobs, the workers, the submit form, which begins with the chosen data set."""
    with database.snapshot() as session:
        mine = datasets.listing(session, owner=caller.owner)
        begun = None if chosen is None else datasets.get(session, chosen, owner=caller.owner)
        asked = {name: getattr(query, name) for name in JobsQuery.model_fields} | {"order": query.way}
        page = jobs.page(session, owner=caller.owner, **asked)
        counted = jobs.counts(session, owner=caller.owner, task=query.task, search=query.search, tag=query.tag)
        lines = {job.id: _loss_line(session, caller, job.id) for job in page.items}
        fleet = workers.listing(session)
    there, silent = present(fleet, datetime.now(UTC))
    active = any(job.state not in TERMINAL_STATES for job in page.items)
    kept = {
        "state": query.state,
        "task": query.task,
        "search": query.search,
        "tag": query.tag,
        "sort": query.sort if query.sort != "created" else None,
        "order": query.order,
        "limit": query.limit if query.limit != 50 else None,
    }
    return {
        "page": page,
        "lines": lines,
        "workers": there,
        "silent": silent,
        "active": active,
        "query": query,
        "kept": {name: value for name, value in kept.items() if value is not None},
        "counts": counted,
        "columns": COLUMNS,
        "states": STATES,
        "most_compared": MOST_COMPARED,
        "tasks": sorted(TASKS),
        "datasets": mine,
        "chosen": chosen,
        "form": first_form(database, settings, caller, mine, begun),
        "help": field_help(),
    }


def job_view(database: Database, caller: Caller, job_id: str, url: str) -> dict[str, Any]:
    """One job: where it stands, what it found, how to get the same."""
    with database.snapshot() as session:
        job = jobs.get(session, job_id, owner=caller.owner)
        result = jobs.result(session, job_id, owner=caller.owner)
        log = history(session, job_id, owner=caller.owner)
        made = plans.briefs(session, job_id, owner=caller.owner)
        claims = jobs.attempts(session, job_id, owner=caller.owner)
        fits = law_fits.page(session, owner=caller.owner).items
    steps = outer_steps(log)
    return {
        "job": job,
        "result": result,
        "verdict": verdict_of(result) if result else None,
        "left": seconds_left(job, log, claims, datetime.now(UTC)),
        "asked": json.dumps(asked(job.spec), indent=2),
        "whole": job.spec.model_dump_json(indent=2),
        "steps": steps,
        "quality": quality_rows(result),
        "scaling": result.scaling if result else None,
        "fits": fits,
        "bounded_where": bounded_where(result.chaos if result else None),
        "has_arms": any(getattr(step, "arm", None) for step in steps),
        "has_starts": job.spec.outer.starts > 1,
        "rows": hyperparameter_rows(job, result, steps),
        "log": [(event, sentence(event)) for event in log[-LOG_LINES:]][::-1],
        "hidden_lines": max(0, len(log) - LOG_LINES),
        "attempts": claims,
        "ended": job.state in TERMINAL_STATES,
        "recipes": _recipes(job, url),
        "fork": fork_form(job),
        "plan": plan_form(job),
        "labels": labels_form(job),
        "made": made,
        "causes": likely_causes(job, steps, claims),
        "figures": JOB_FIGURES,
    }


def quality_rows(result: TuneResult | None) -> list[tuple[str, float, float, float]]:
    """(where, predicted change of validation loss, change after training again, its error) of each shifted schedule."""
    points = result.best_response.quality if result and result.best_response else []
    return [
        (said(point), point.predicted - points[0].predicted, point.retrained - points[0].retrained, point.error)
        for point in points[1:]
    ]


def bounded_where(chaos: ChaosReading | None) -> str:
    """Words for the part of the run where most backward steps were bounded; empty where nothing is known or was bounded."""
    profile = chaos.bounded_profile if chaos else ()
    if not profile or max(profile) == 0:
        return ""
    largest = max(range(len(profile)), key=lambda part: profile[part])
    width = 100 / len(profile)
    return (
        f"most of them {largest * width:.0f} to {(largest + 1) * width:.0f} % into the run ({100 * profile[largest]:.0f} %)"
    )


def plan_view(database: Database, caller: Caller, plan_id: str) -> dict[str, Any]:
    """One plan, with its exports as text to copy."""
    with database.snapshot() as session:
        plan = plans.get(session, plan_id, owner=caller.owner)
        job = None if plan.job_id is None else jobs.get(session, plan.job_id, owner=caller.owner)
    return {
        "plan": plan,
        "job": job,
        "quantities": list(dict.fromkeys(quantity for role in plan.roles for quantity in role.formulas)),
        "exports": [(kind, EXPORTS[kind], why_not(plan, kind)) for kind in EXPORTS],
        "shown_exports": {kind: export(plan, kind) for kind, info in EXPORTS.items() if info.shown},
        "penalised": any(row.l2 for row in plan.tensors),
        "shown_tensors": SHOWN_TENSORS,
    }


def outer_steps(log: Sequence[JobEvent]) -> list[OuterStep]:
    """The outer steps of a log, in order."""
    return [OuterStep.model_validate(event.data) for event in log if event.type == "outer_step"]


JOB_FIGURES = {
    "loss": ("Validation loss", "each outer step, with one standard error over seeds"),
    "hyperparameters": ("Hyperparameters", "where the outer loop moved them"),
    "sensitivity": (
        "Sensitivity",
        "by how much the loss changes where a value is multiplied by e: over all outer steps, and at the last",
    ),
    "gradients": ("Hypergradient and chaos", "its norm, and what the bounded adjoint had to scale down"),
    "scout": ("Scout", "loss of one run at each global learning rate, before the first step"),
    "schedule": ("Schedule", "learning-rate multiplier over a run, before and after"),
    "coordinate_check": (
        "Coordinate check",
        "what training changes in each module over width, with exponents: flat lines are what a transfer needs",
    ),
    "ladder": (
        "Ladder of widths",
        "loss over the factor on the tuned value, one line a width: minima above one another mean that it stands still",
    ),
    "regularisers": ("Regularisers", "their schedules over the best-response run, between the knots of a plan"),
    "response": (
        "Quality of the response",
        "change of validation loss at shifted regularisers: as the response predicts, and after training with them",
    ),
}
"""Figure of the job page -> (title, what it shows)."""


def present(fleet: Sequence[WorkerInfo], now: datetime) -> tuple[list[WorkerInfo], int]:
    """The workers that are there, and how many have fallen silent."""
    there = [worker for worker in fleet if (now - worker.seen_at).total_seconds() < workers.SILENT]
    return there, len(fleet) - len(there)


def _loss_line(session: Session, caller: Caller, job_id: str) -> str:
    series = metrics.points(session, job_id, ["loss"], SPARKLINE_POINTS, owner=caller.owner)
    return sparkline(series[0].values) if series else ""


def _recipes(job: Job, url: str) -> dict[str, str]:
    """Commands that start the same job again and read this one."""
    spec = asked(job.spec)
    body = shlex.quote(json.dumps(spec))
    return {
        "curl": f"# this job\ncurl -s {url}/v1/jobs/{job.id}\n\n# the same again\n"
        f"curl -s {url}/v1/jobs -H 'Content-Type: application/json' \\\n  -d {body}",
        "Python": "from windtunnel import Client\n\n"
        f'client = Client("{url}")\njob = client.jobs.get("{job.id}")\nresult = job.wait()\n\n'
        f"# the same again\njob = client.jobs.create({spec!r})",
    }
