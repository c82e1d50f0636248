"""The form for a job: an estimate of what it would take, and its start. It works without JavaScript."""

import json

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from service.answers import ProblemError, invalid, told, validated
from service.dependencies import DatabaseDependency, OwnerDependency, SettingsDependency
from service.estimates.routes import create_estimate
from service.jobs.admission import size_in_words
from service.jobs.routes import create_job
from service.pages.forms import FormDependency
from service.pages.rendering import duration, number, render
from service.pages.submission import field_help
from service.settings import ServiceSettings
from store.database import Database
from store.errors import TooManyJobs
from windtunnel.types import FieldError, JobSpec, Problem
from windtunnel.types.estimates import Estimate

router = APIRouter(include_in_schema=False)


@router.post("/jobs")
def submit_page(
    request: Request,
    form: FormDependency,
    database: DatabaseDependency,
    settings: SettingsDependency,
    owner: OwnerDependency,
) -> Response:
    """The form: on to the page of the job; or back to the form with an estimate, or with what is wrong.

    The estimate of a spec with mistakes is an answer like any other: it says what they are.
    """
    text = form.get("spec", "").replace("\r\n", "\n")
    asked = form.get("do") == "estimate"
    try:
        spec = written(text)
        if asked:
            estimate = create_estimate(spec, database, settings, owner)
            return _again(text, 200, cost=in_a_sentence(estimate), problem=_misfit(estimate))
        job = create_job(spec, Response(), database, settings, owner, None)
    except (ProblemError, TooManyJobs) as error:
        problem = told(request, error)
        return _again(text, 200 if asked else problem.status, problem=problem)
    return RedirectResponse(f"/jobs/{job.id}", 303)


def written(text: str) -> JobSpec:
    """The spec of a text.

    Raises:
        ProblemError: 422, the text is no JSON, or no spec.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, a number of thousands of digits, brackets in brackets
        at = (
            f": {error.msg} at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise invalid([FieldError(pointer="", message=f"This is not JSON{at}", given=None)]) from error
    return validated(JobSpec, content)


def estimated(spec: JobSpec, database: Database, settings: ServiceSettings, owner: str) -> str:
    """What the job would take, in a sentence; nothing where the server would not take it."""
    try:
        return in_a_sentence(create_estimate(spec, database, settings, owner))
    except ProblemError:
        return ""


def in_a_sentence(estimate: Estimate) -> str:
    """What a job would take."""
    memory, worker = estimate.memory, estimate.measured_by
    return (
        f"About {number(estimate.run_equivalents, 3)} runs of the proxy and {duration(estimate.seconds)} "
        f"{'on the worker here' if worker else 'on a reference core, for no worker has measured its own'}; "
        f"{size_in_words(memory.peak)} of memory, {size_in_words(memory.limit)} allowed; "
        f"{estimate.hyperparameters} hyperparameters, estimator {estimate.estimator}."
        + "".join(f" {note}." for note in estimate.notes)
    )


def _misfit(estimate: Estimate) -> Problem | None:
    """The changes that would make it fit, where it does not."""
    return invalid(estimate.changes).problem if estimate.changes else None


def _again(text: str, status: int, *, cost: str = "", problem: Problem | None = None) -> Response:
    return render("new_job.html", status, example=text, help=field_help(), cost=cost, problem=problem)
