"""The forms of a job's page: cancel, pause, resume, fork, plan. They ask the API's routes, and work without JavaScript."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from service.dependencies import DatabaseDependency, JobId, OwnerDependency, SettingsDependency
from service.jobs import routes
from service.jobs.forking import ForkRequest, merged
from service.pages.forms import Form, FormDependency, number
from service.pages.job_fields import fork_form, plan_form
from service.pages.rendering import render
from service.pages.views import job_view
from service.plans.routes import create_plan
from service.plans.schemas import PlanRequest
from service.problems.answers import ProblemError, invalid, told, validated
from store import jobs
from store.database import Database
from store.errors import TooManyJobs
from windtunnel.types import FieldError, Job

router = APIRouter(include_in_schema=False)

MORE = "overrides"
"""The fork's field for everything that has none of its own."""


@router.post("/jobs/{job_id}/cancel")
def cancel_page(job_id: JobId, database: DatabaseDependency) -> Response:
    """The button: back to the job."""
    routes.cancel_job(job_id, database)
    return _to(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/pause")
def pause_page(job_id: JobId, database: DatabaseDependency) -> Response:
    """The button: back to the job."""
    routes.pause_job(job_id, database)
    return _to(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/resume")
def resume_page(job_id: JobId, database: DatabaseDependency) -> Response:
    """The button: back to the job."""
    routes.resume_job(job_id, database)
    return _to(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/fork")
def fork_page(
    request: Request,
    job_id: JobId,
    form: FormDependency,
    database: DatabaseDependency,
    settings: SettingsDependency,
    owner: OwnerDependency,
) -> Response:
    """The form: on to the page of the new job, or back to the form with what is wrong."""
    parent = _job(database, job_id)
    try:
        overrides = _overrides(form, fork_form(parent))
        wanted = validated(ForkRequest, {"overrides": overrides, "from_best": "from_best" in form})
        made = routes.fork_job(job_id, wanted, Response(), database, settings, owner)
    except (ProblemError, TooManyJobs) as error:
        problem = told(request, error)
        view = job_view(database, job_id, str(request.base_url), owner) | {"fork": fork_form(parent, form, problem)}
        return render("job.html", problem.status, **view)
    return _to(f"/jobs/{made.id}")


@router.post("/jobs/{job_id}/plans")
def plan_page(
    request: Request, job_id: JobId, form: FormDependency, database: DatabaseDependency, owner: OwnerDependency
) -> Response:
    """The form: on to the page of the plan, or back to the form with what is wrong."""
    job = _job(database, job_id)
    size = {entry.name: number(form[entry.name]) for entry in plan_form(job).fields if entry.name in form}
    try:
        wanted = validated(PlanRequest, size | {"force": "force" in form, "law_fit": form.get("law_fit")})
        plan = create_plan(job_id, wanted, Response(), database, owner)
    except ProblemError as error:
        view = job_view(database, job_id, str(request.base_url), owner) | {"plan": plan_form(job, form, error.problem)}
        return render("job.html", error.problem.status, **view)
    return _to(f"/plans/{plan.id}")


def _overrides(form: Mapping[str, str], blank: Form) -> Any:
    """The fields that differ from the parent's, over what was written as JSON."""
    try:
        found = json.loads(form.get(MORE, "{}"))
    except json.JSONDecodeError as error:
        message = f"this is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise invalid([FieldError(pointer="/overrides", message=message, given=form[MORE])]) from error
    if not isinstance(found, dict):  # left to the model, which says what it must be
        return found
    for entry in blank.fields:
        typed: Any = form.get(entry.name)
        if typed is None or typed == str(entry.value):
            continue
        value = typed if entry.least is None else number(typed)
        for name in reversed(entry.pointer.split("/")[2:]):
            value = {name: value}
        found = merged(found, value)
    return found


def _job(database: Database, job_id: str) -> Job:
    with database.snapshot() as session:
        return jobs.get(session, job_id)


def _to(address: str) -> RedirectResponse:
    return RedirectResponse(address, 303)
