"""Routes of the status page: pages as HTML, figures as JSON for plotly."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field, model_validator
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from service.dependencies import CallerDependency, DatabaseDependency, JobId, PlanId, SettingsDependency
from service.jobs.events import EventStream, changes
from service.jobs.schemas import JobsQuery
from service.pages import comparing, datasets, fleet, job_forms, keys, submitting, webhooks
from service.pages import laws as laws_pages
from service.pages import plans as plans_pages
from service.pages.signing_in import sign_in_page
from service.pages.site import SiteDependency, site_of
from service.pages.views import job_view, jobs_view, outer_steps, plan_view
from service.plans import service as plan_service
from store import jobs, plans
from store.events import history
from windtunnel import figures
from windtunnel.figures.style import Theme
from windtunnel.report import report
from windtunnel.types import OuterStep, Problem, TuneResult
from windtunnel.types.base import Request as RequestModel
from windtunnel.types.datasets import DATASET_ID

MOST_REPORTED = 20
"""Plans of a job that its report shows, at most."""

router = APIRouter(include_in_schema=False)
for part in (comparing, datasets, plans_pages, laws_pages, fleet, keys, webhooks, submitting, job_forms):
    router.include_router(part.router)


class PageQuery(JobsQuery):
    """Query of the jobs page: that of the API, but a form sends a field that is not filled in as empty."""

    dataset: str | None = Field(None, pattern=DATASET_ID.pattern, description="What the form for a job begins with.")

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value != ""} if isinstance(data, dict) else data


class FigureQuery(RequestModel):
    """Query that says how to draw a figure."""

    theme: Theme = "light"


@router.get("/")
def jobs_page(
    query: Annotated[PageQuery, Query()],
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> HTMLResponse:
    """Every job, and the form for another."""
    return site.page("jobs.html", **jobs_view(database, settings, query, caller, query.dataset))


@router.get("/changes")
def follow_changes(
    request: Request, database: DatabaseDependency, settings: SettingsDependency, caller: CallerDependency
) -> Response:
    """Ids of the viewer's jobs as they change: the one stream that all tabs of a browser share."""
    state = request.app.state
    body = changes(
        database, caller, poll=settings.event_poll, stopping=state.stopping, disconnected=request.is_disconnected
    )
    return EventStream(body, state.streams, caller.owner)


@router.get("/jobs/{job_id}")
def job_page(job_id: JobId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency) -> HTMLResponse:
    """One job."""
    return site.page("job.html", **job_view(database, caller, job_id, site.url))


@router.get("/plans/{plan_id}")
def plan_page(
    plan_id: PlanId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> HTMLResponse:
    """One plan."""
    return site.page("plan.html", **plan_view(database, caller, plan_id))


@router.get("/jobs/{job_id}/report.html")
def job_report(job_id: JobId, database: DatabaseDependency, caller: CallerDependency) -> Response:
    """The report of a job as one file to send around."""
    with database.snapshot() as session:
        job = jobs.get(session, job_id, owner=caller.owner)
        result = jobs.result(session, job_id, owner=caller.owner)
        steps = outer_steps(history(session, job_id, owner=caller.owner))
        made = [plans.get(session, each, owner=caller.owner) for each in job.plans[:MOST_REPORTED]]
    headers = {"content-disposition": f'attachment; filename="{job_id}.html"', "cache-control": "no-store"}
    return HTMLResponse(report(job, steps, result, made), headers=headers)


@router.post("/plans/{plan_id}/delete")
def delete_plan_page(
    plan_id: PlanId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> Response:
    """The button: back to the job that the plan was made from, or to the list of plans."""
    job_id = plan_service.get(database, caller, plan_id).job_id
    plan_service.delete(database, caller, plan_id)
    return site.to(f"/jobs/{job_id}" if job_id else "/plans")


@router.get("/jobs/{job_id}/figures/{name}.json")
def job_figure(
    job_id: JobId,
    name: str,
    query: Annotated[FigureQuery, Query()],
    database: DatabaseDependency,
    caller: CallerDependency,
) -> Response:
    """One figure of a job; 204 as long as there is nothing to draw."""
    draw = JOB_FIGURES.get(name)
    if draw is None:
        raise HTTPException(404)
    with database.snapshot() as session:
        result = jobs.result(session, job_id, owner=caller.owner)
        steps = outer_steps(history(session, job_id, owner=caller.owner))
    return _json(draw(steps, result, query.theme))


@router.get("/jobs/{job_id}/figures/scaling/{name}.json")
def job_law(
    job_id: JobId,
    name: str,
    query: Annotated[FigureQuery, Query()],
    database: DatabaseDependency,
    caller: CallerDependency,
) -> Response:
    """One law of a job's grid over its runs."""
    with database.snapshot() as session:
        result = jobs.result(session, job_id, owner=caller.owner)
    laws = result.scaling.laws if result and result.scaling else []
    found = [law for law in laws if law.law == name]
    if not found:
        raise HTTPException(404)
    return _json(figures.law(found[0], theme=query.theme))


@router.get("/plans/{plan_id}/figures/coordinate_check.json")
def plan_figure(
    plan_id: PlanId, query: Annotated[FigureQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> Response:
    """The coordinate check behind a plan; 204 where there was none."""
    check = plan_service.get(database, caller, plan_id).coordinate_check
    return _json(figures.coordinate_check(check, theme=query.theme) if check else None)


@router.get("/plans/{plan_id}/figures/ladder.json")
def plan_ladder(
    plan_id: PlanId, query: Annotated[FigureQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> Response:
    """The ladder of widths behind a plan; 204 where there was none."""
    climbed = plan_service.get(database, caller, plan_id).ladder
    return _json(figures.ladder(climbed, theme=query.theme) if climbed else None)


def problem_page(request: Request, problem: Problem) -> HTMLResponse:
    """A problem for people; the form to sign in with where that is what is missing."""
    if problem.status == 401:
        return sign_in_page(request, 401)
    return site_of(request).page("problem.html", problem.status, problem=problem)


def _json(figure: Any) -> Response:
    if figure is None:
        return Response(status_code=204)
    return Response(figure.to_json(), media_type="application/json", headers={"cache-control": "no-store"})


def _loss(steps: list[OuterStep], _: TuneResult | None, theme: Theme) -> Any:
    return figures.loss(steps, theme=theme) if steps else None


def _hyperparameters(steps: list[OuterStep], result: TuneResult | None, theme: Theme) -> Any:
    roles = {tensor.name: tensor.role for tensor in result.proxy.tensors} if result else {}
    return figures.hyperparameters(steps, roles=roles, theme=theme) if steps else None


def _gradients(steps: list[OuterStep], _: TuneResult | None, theme: Theme) -> Any:
    return figures.gradients(steps, theme=theme) if any(step.gradient_norm is not None for step in steps) else None


def _sensitivity(steps: list[OuterStep], result: TuneResult | None, theme: Theme) -> Any:
    roles = {tensor.name: tensor.role for tensor in result.proxy.tensors} if result else {}
    return figures.sensitivity(steps, roles=roles, theme=theme) if any(step.gradient for step in steps) else None


def _scout(steps: list[OuterStep], _: TuneResult | None, theme: Theme) -> Any:
    return figures.scout(steps[0], theme=theme) if steps and steps[0].sweep else None


def _schedule(_: list[OuterStep], result: TuneResult | None, theme: Theme) -> Any:
    return figures.schedule(result.schedule, theme=theme) if result else None


def _coordinate_check(_: list[OuterStep], result: TuneResult | None, theme: Theme) -> Any:
    check = result.coordinate_check if result else None
    return figures.coordinate_check(check, theme=theme) if check else None


def _ladder(_: list[OuterStep], result: TuneResult | None, theme: Theme) -> Any:
    return figures.ladder(result.ladder, theme=theme) if result and result.ladder else None


def _regularisers(_: list[OuterStep], result: TuneResult | None, theme: Theme) -> Any:
    report = result.best_response if result else None
    return figures.regularisers(report, theme=theme) if report else None


def _response(_: list[OuterStep], result: TuneResult | None, theme: Theme) -> Any:
    report = result.best_response if result else None
    return figures.response(report, theme=theme) if report and len(report.quality) > 1 else None


JOB_FIGURES: dict[str, Callable[[list[OuterStep], TuneResult | None, Theme], Any]] = {
    "loss": _loss,
    "hyperparameters": _hyperparameters,
    "sensitivity": _sensitivity,
    "gradients": _gradients,
    "scout": _scout,
    "schedule": _schedule,
    "coordinate_check": _coordinate_check,
    "ladder": _ladder,
    "regularisers": _regularisers,
    "response": _response,
}
