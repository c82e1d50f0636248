"""Routes of jobs: create, fork, list, get, cancel, pause, resume, follow, metrics, result, bundle."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import JSONResponse, Response

from service.dependencies import CallerDependency, DatabaseDependency, JobId, OwnJobId, SettingsDependency
from service.jobs import service
from service.jobs.events import EventStream, stream
from service.jobs.forking import ForkRequest
from service.jobs.schemas import EventList, EventsQuery, JobsQuery, MetricList, MetricsQuery
from service.problems.answers import PROBLEMS, invalid
from service.proxying import address
from store.jobs import LONGEST_KEY
from windtunnel.types import FieldError, Job, JobPage, JobSpec, TuneResult
from windtunnel.types.labels import JobLabels

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=PROBLEMS)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=LONGEST_KEY,
        description="The same key with the same spec gives the same job; with another spec it is refused.",
    ),
]


@router.post("", status_code=201, response_model=Job)
def create_job(
    spec: JobSpec,
    request: Request,
    response: Response,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Submit a job. `{"task": "digits"}` is a complete one."""
    job = service.submit(database, settings, caller, spec, idempotency_key)
    response.headers["location"] = address(request, f"/v1/jobs/{job.id}")
    return job


@router.post("/{job_id}/fork", status_code=201, response_model=Job)
def fork_job(
    job_id: OwnJobId,
    wanted: ForkRequest,
    request: Request,
    response: Response,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Submit another job with the spec of this one, but for what the body overrides; with `from_best`, begun at its best.

    No training state is taken over.
    """
    job = service.fork(database, settings, caller, job_id, wanted, idempotency_key)
    response.headers["location"] = address(request, f"/v1/jobs/{job.id}")
    return job


@router.get("", response_model=JobPage)
def list_jobs(query: Annotated[JobsQuery, Query()], database: DatabaseDependency, caller: CallerDependency) -> JobPage:
    """Jobs, newest first or in another order, page by page."""
    return service.page(database, caller, query)


@router.get("/{job_id}", response_model=Job, responses={304: {"description": "The job is as you have it"}})
def get_job(
    job_id: JobId,
    database: DatabaseDependency,
    caller: CallerDependency,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One job. Its ETag changes whenever anything of it does."""
    body = service.get(database, caller, job_id).model_dump_json().encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if _matches(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.patch("/{job_id}", response_model=Job)
def label_job(job_id: OwnJobId, change: JobLabels, database: DatabaseDependency, caller: CallerDependency) -> Job:
    """Change the name, the tags or the notes of a job in any state. Its spec keeps the name that it came with."""
    return service.label(database, caller, job_id, change)


@router.delete("/{job_id}", status_code=204)
def delete_job(job_id: JobId, database: DatabaseDependency, settings: SettingsDependency, caller: CallerDependency) -> None:
    """Delete a job that has ended, with its log, metrics, result, checkpoints and plans. Refused while it has not ended."""
    service.delete(database, settings, caller, job_id)


@router.post("/{job_id}/cancel", status_code=202, response_model=Job)
def cancel_job(job_id: JobId, database: DatabaseDependency, caller: CallerDependency) -> Job:
    """Ask for a job to stop. A waiting job ends at once, a running one soon; an ended one stays as it is."""
    return service.cancel(database, caller, job_id)


@router.post("/{job_id}/pause", status_code=202, response_model=Job)
def pause_job(job_id: JobId, database: DatabaseDependency, caller: CallerDependency) -> Job:
    """Pause a job until it is resumed. A running one releases its worker soon; an ended one stays as it is."""
    return service.pause(database, caller, job_id)


@router.post("/{job_id}/resume", status_code=202, response_model=Job)
def resume_job(job_id: JobId, database: DatabaseDependency, caller: CallerDependency) -> Job:
    """Let a paused job go on, from its checkpoint. Any other job stays as it is."""
    return service.resume(database, caller, job_id)


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
    caller: CallerDependency,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The event log: as server-sent events, replayed after `Last-Event-ID` and then live until the job ends; or as JSON."""
    after = query.after if last_event_id is None else _seq(last_event_id)
    accept = request.headers.get("accept", "")
    if "application/json" in accept and "text/event-stream" not in accept:
        items = service.events_after(database, caller, job_id, after, query.limit)
        return JSONResponse(EventList(items=items).model_dump(mode="json"), headers={"vary": "accept"})
    service.get(database, caller, job_id)  # a job that is not there is refused before the stream begins
    body = stream(
        database,
        caller,
        job_id,
        after,
        poll=settings.event_poll,
        stopping=request.app.state.stopping,
        disconnected=request.is_disconnected,
    )
    return EventStream(body, request.app.state.streams, caller.owner)


@router.get("/{job_id}/metrics", response_model=MetricList)
def read_metrics(
    job_id: JobId, query: Annotated[MetricsQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> MetricList:
    """Metric series over outer steps, thinned where they are long."""
    return MetricList(items=service.metrics_of(database, caller, job_id, query))


@router.get("/{job_id}/result", response_model=TuneResult)
def read_result(job_id: JobId, database: DatabaseDependency, caller: CallerDependency) -> TuneResult:
    """The result of a finished job."""
    return service.result(database, caller, job_id)


@router.get(
    "/{job_id}/bundle",
    response_class=Response,
    responses={200: {"description": "A zip", "content": {"application/zip": {}}}},
)
def read_bundle(job_id: JobId, database: DatabaseDependency, caller: CallerDependency) -> Response:
    """Everything about the job in one zip, with the SHA-256 of each file."""
    body = service.bundled(database, caller, job_id)
    headers = {"content-disposition": f'attachment; filename="{job_id}.zip"'}
    return Response(body, media_type="application/zip", headers=headers)


def _matches(if_none_match: str | None, tag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison with any of the tags given."""
    given = [entry.strip().removeprefix("W/") for entry in (if_none_match or "").split(",")]
    return tag in given or "*" in given


def _seq(last_event_id: str) -> int:
    if last_event_id.isdecimal() and len(last_event_id) < 10:
        return int(last_event_id)
    message = "Last-Event-ID must be the id of an event of this job, a whole number from 0"
    raise invalid([FieldError(pointer="/Last-Event-ID", message=message, given=last_event_id)])
