"""Routes of jobs: create, list, get, cancel, pause, resume, follow, metrics, result."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.sse import EventSourceResponse
from starlette.responses import JSONResponse, Response

from service.datasets.admission import checked, missing
from service.dependencies import DatabaseDependency, JobId, OwnerDependency, SettingsDependency
from service.jobs.admission import population_errors
from service.jobs.bundle import bundle
from service.jobs.events import stream
from service.jobs.forking import ForkRequest, begun_at, forked
from service.jobs.schemas import EventList, EventsQuery, JobsQuery, MetricList, MetricsQuery, NotFinished
from service.problems.answers import PROBLEMS, ProblemError, invalid
from service.settings import ServiceSettings
from store import events, jobs, metrics
from store.database import Database
from store.errors import DatasetNotFound
from windtunnel.types import FieldError, Job, JobPage, JobSpec, TuneResult

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=PROBLEMS)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=jobs.LONGEST_KEY,
        description="The same key with the same spec gives the same job; with another spec it is refused.",
    ),
]


@router.post("", status_code=201, response_model=Job)
def create_job(
    spec: JobSpec,
    response: Response,
    database: DatabaseDependency,
    settings: SettingsDependency,
    owner: OwnerDependency,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Submit a job. `{"task": "digits"}` is a complete one."""
    return _submit(spec, response, database, settings, owner, idempotency_key)


@router.post("/{job_id}/fork", status_code=201, response_model=Job)
def fork_job(
    job_id: JobId,
    wanted: ForkRequest,
    response: Response,
    database: DatabaseDependency,
    settings: SettingsDependency,
    owner: OwnerDependency,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Submit another job with the spec of this one, but for what the body overrides; with `from_best`, begun at its best.

    No training state is taken over.
    """
    with database.snapshot() as session:
        parent = jobs.get(session, job_id)
        result = jobs.result(session, job_id) if wanted.from_best else None
    if wanted.from_best and result is None:
        raise not_finished(parent)
    spec = forked(parent.spec, wanted)
    if result is not None:
        spec = begun_at(checked(spec, database, owner), result.best.hyperparameters)
    return _submit(spec, response, database, settings, owner, idempotency_key)


def _submit(
    spec: JobSpec, response: Response, database: Database, settings: ServiceSettings, owner: str, key: str | None
) -> Job:
    spec = checked(spec, database, owner)
    too_large = population_errors(spec, settings.max_population_bytes)
    if too_large:
        raise invalid(too_large)
    try:
        with database.transaction() as session:
            job = jobs.submit(session, spec, owner=owner, idempotency_key=key, most=settings.max_jobs)
    except DatasetNotFound as error:  # deleted since it was looked at
        raise missing(error) from error
    response.headers["location"] = f"/v1/jobs/{job.id}"
    return job


@router.get("", response_model=JobPage)
def list_jobs(query: Annotated[JobsQuery, Query()], database: DatabaseDependency, owner: OwnerDependency) -> JobPage:
    """Jobs, newest first, page by page."""
    with database.snapshot() as session:
        return jobs.page(session, owner=owner, **query.model_dump())


@router.get("/{job_id}", response_model=Job, responses={304: {"description": "The job is as you have it"}})
def get_job(job_id: JobId, database: DatabaseDependency, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """One job. Its ETag changes whenever anything of it does."""
    with database.snapshot() as session:
        body = jobs.get(session, job_id).model_dump_json().encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if _matches(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.post("/{job_id}/cancel", status_code=202, response_model=Job)
def cancel_job(job_id: JobId, database: DatabaseDependency) -> Job:
    """Ask for a job to stop. A waiting job ends at once, a running one soon; an ended one stays as it is."""
    with database.transaction() as session:
        return jobs.request_cancel(session, job_id)


@router.post("/{job_id}/pause", status_code=202, response_model=Job)
def pause_job(job_id: JobId, database: DatabaseDependency) -> Job:
    """Ask for a job to wait until it is resumed. A running one lets go of its worker soon; an ended one stays as it is."""
    with database.transaction() as session:
        return jobs.request_pause(session, job_id)


@router.post("/{job_id}/resume", status_code=202, response_model=Job)
def resume_job(job_id: JobId, database: DatabaseDependency) -> Job:
    """Let a paused job go on, from its checkpoint. Any other job stays as it is."""
    with database.transaction() as session:
        return jobs.resume(session, job_id)


@router.get(
    "/{job_id}/events",
    response_model=EventList,
    responses={
        200: {"description": "A stream, or with `Accept: application/json` a list", "content": {"text/event-stream": {}}}
    },
)
def follow_job(
    request: Request,
    job_id: JobId,
    *,
    query: Annotated[EventsQuery, Query()],
    database: DatabaseDependency,
    settings: SettingsDependency,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The event log: as server-sent events, replayed after `Last-Event-ID` and then live until the job ends; or as JSON."""
    after = query.after if last_event_id is None else _seq(last_event_id)
    accept = request.headers.get("accept", "")
    with database.snapshot() as session:
        jobs.get(session, job_id)
        if "application/json" in accept and "text/event-stream" not in accept:
            items = events.after(session, job_id, after, limit=query.limit)
            return JSONResponse(EventList(items=items).model_dump(mode="json"), headers={"vary": "accept"})
    state = request.app.state
    body = stream(
        database, job_id, after, poll=settings.event_poll, stopping=state.stopping, disconnected=request.is_disconnected
    )
    return EventSourceResponse(body, headers={"cache-control": "no-store", "x-accel-buffering": "no", "vary": "accept"})


@router.get("/{job_id}/metrics", response_model=MetricList)
def read_metrics(job_id: JobId, query: Annotated[MetricsQuery, Query()], database: DatabaseDependency) -> MetricList:
    """Metric series over outer steps, thinned where they are long."""
    with database.snapshot() as session:
        jobs.get(session, job_id)
        return MetricList(items=metrics.points(session, job_id, query.series or None, query.max_points))


@router.get("/{job_id}/result", response_model=TuneResult)
def read_result(job_id: JobId, database: DatabaseDependency) -> TuneResult:
    """What a finished job found."""
    with database.snapshot() as session:
        job = jobs.get(session, job_id)
        result = jobs.result(session, job_id)
    if result is None:
        raise not_finished(job)
    return result


@router.get(
    "/{job_id}/bundle",
    response_class=Response,
    responses={200: {"description": "A zip", "content": {"application/zip": {}}}},
)
def read_bundle(job_id: JobId, database: DatabaseDependency) -> Response:
    """Everything about the job in one zip, with the SHA-256 of each file."""
    with database.snapshot() as session:
        body = bundle(session, job_id)
    headers = {"content-disposition": f'attachment; filename="{job_id}.zip"'}
    return Response(body, media_type="application/zip", headers=headers)


def not_finished(job: Job) -> ProblemError:
    """409: the job has no result, yet or ever."""
    match job.state:
        case "failed":
            why = job.failure.message if job.failure else "it failed"
            detail = f"job {job.id} failed and has no result: {why}"
        case "cancelled":
            detail = f"job {job.id} was cancelled and has no result"
        case state:
            detail = f"job {job.id} is {state} and has no result yet; follow /v1/jobs/{job.id}/events until it has ended"
    problem = NotFinished(type="not-finished", title="The job has no result", status=409, detail=detail, state=job.state)
    return ProblemError(problem)


def _matches(if_none_match: str | None, tag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison with any of the tags given."""
    given = [entry.strip().removeprefix("W/") for entry in (if_none_match or "").split(",")]
    return tag in given or "*" in given


def _seq(last_event_id: str) -> int:
    if last_event_id.isdecimal() and len(last_event_id) < 10:
        return int(last_event_id)
    message = "Last-Event-ID must be the id of an event of this job, a whole number from 0"
    raise invalid([FieldError(pointer="/Last-Event-ID", message=message, given=last_event_id)])
