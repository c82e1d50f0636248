"""The forms of a job's page: cancel, pause, resume, delete, fork, labels, plan. They work without JavaScript."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.dependencies import CallerDependency, DatabaseDependency, JobId, SettingsDependency
from service.jobs import service
from service.jobs.forking import ForkRequest, merged
from service.pages.forms import Form, FormDependency, number
from service.pages.job_fields import fork_form, labels_form, plan_form
from service.pages.site import SiteDependency
from service.pages.views import job_view
from service.plans import service as plan_service
from service.plans.schemas import PlanRequest
from service.problems.answers import ProblemError, invalid, problem_of, validated
from store.errors import TooManyJobs, TooManyPlans
from windtunnel.types import FieldError
from windtunnel.types.labels import JobLabels

router = APIRouter(include_in_schema=False)

MORE = "overrides"
"""The fork's field for everything that has none of its own."""


@router.post("/jobs/{job_id}/cancel")
def cancel_page(job_id: JobId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency) -> Response:
    """The button: back to the job."""
    service.cancel(database, caller, job_id)
    return site.to(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/pause")
def pause_page(job_id: JobId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency) -> Response:
    """The button: back to the job."""
    service.pause(database, caller, job_id)
    return site.to(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/resume")
def resume_page(job_id: JobId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency) -> Response:
    """The button: back to the job."""
    service.resume(database, caller, job_id)
    return site.to(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/delete")
def delete_page(
    job_id: JobId,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The button: on to the list of jobs."""
    service.delete(database, settings, caller, job_id)
    return site.to("/")


@router.post("/jobs/{job_id}/fork")
def fork_page(
    request: Request,
    job_id: JobId,
    form: FormDependency,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The form: on to the page of the new job, or back to the form with what is wrong."""
    parent = service.get(database, caller, job_id)
    try:
        overrides = _overrides(form, fork_form(parent))
        wanted = validated(ForkRequest, {"overrides": overrides, "from_best": "from_best" in form})
        made = service.fork(database, settings, caller, job_id, wanted)
    except (ProblemError, TooManyJobs) as error:
        problem = problem_of(request, error)
        view = job_view(database, caller, job_id, site.url) | {"fork": fork_form(parent, form, problem)}
        return site.page("job.html", problem.status, **view)
    return site.to(f"/jobs/{made.id}")


@router.post("/jobs/{job_id}/labels")
def label_page(
    request: Request,
    job_id: JobId,
    form: FormDependency,
    database: DatabaseDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The form: back to the job, or to the form with what is wrong. An empty field empties what it stands for."""
    job = service.get(database, caller, job_id)
    tags = form.get("tags", "").replace(",", " ").split()
    notes = form.get("notes", "").replace("\r\n", "\n")
    try:
        service.label(
            database, caller, job_id, validated(JobLabels, {"name": form.get("name", ""), "tags": tags, "notes": notes})
        )
    except ProblemError as error:
        problem = problem_of(request, error)
        view = job_view(database, caller, job_id, site.url) | {"labels": labels_form(job, form, problem)}
        return site.page("job.html", problem.status, **view)
    return site.to(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/plans")
def plan_page(
    request: Request,
    job_id: JobId,
    form: FormDependency,
    *,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The form: on to the page of the plan, or back to the form with what is wrong."""
    job = service.get(database, caller, job_id)
    size = {entry.name: number(form[entry.name]) for entry in plan_form(job).fields if entry.name in form}
    try:
        wanted = validated(PlanRequest, size | {"force": "force" in form, "law_fit": form.get("law_fit")})
        plan = plan_service.create(database, settings, caller, job_id, wanted)
    except (ProblemError, TooManyPlans) as error:
        problem = problem_of(request, error)
        view = job_view(database, caller, job_id, site.url) | {"plan": plan_form(job, form, problem)}
        return site.page("job.html", problem.status, **view)
    return site.to(f"/plans/{plan.id}")


def _overrides(form: Mapping[str, str], blank: Form) -> Any:
    """The fields that differ from the parent's, over what was written as JSON."""
    try:
        found = json.loads(form.get(MORE, "{}"))
    except (ValueError, RecursionError) as error:  # no JSON, a number of thousands of digits, brackets in brackets
        at = (
            f": {error.msg} at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        )
        message = f"this is not JSON{at}"
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
