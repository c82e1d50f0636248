"""The page of the fleet: workers and what each does, what waits, and the button that drains one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from service.caller import Caller
from service.dependencies import CallerDependency, DatabaseDependency
from service.fleet import service
from service.pages.forms import FormDependency
from service.pages.site import Site, SiteDependency
from store import jobs, measures, workers
from store.database import Database
from windtunnel.types import Job, WorkerInfo

SHOWN_WAITING = 10
Does = Literal["free", "busy", "draining", "silent"]

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Line:
    """One worker of the table."""

    worker: WorkerInfo
    does: Does
    job: Job | None
    """The job that the worker runs, where that is the viewer's own."""


@router.get("/fleet")
def fleet_page(database: DatabaseDependency, caller: CallerDependency, site: SiteDependency) -> HTMLResponse:
    """Workers and queue."""
    return _page(site, database, caller)


@router.post("/fleet/drain")
def drain_page(
    form: FormDependency, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> Response:
    """The button: back to the list, which says that the worker drains."""
    service.drain(database, caller, form.get("worker", ""))
    return site.to("/fleet")


def _page(site: Site, database: Database, caller: Caller) -> HTMLResponse:
    with database.snapshot() as session:
        fleet = workers.listing(session)
        own = jobs.owned(session, [worker.job_id for worker in fleet if worker.job_id], owner=caller.owner)
        held = {job_id: jobs.get(session, job_id, owner=caller.owner) for job_id in own}
        mine = measures.states_of(session, owner=caller.owner)
        everything = measures.measure(session) if caller.operator else None
        waiting = jobs.page(session, owner=caller.owner, state="queued", limit=SHOWN_WAITING)
    now = datetime.now(UTC)
    lines = [Line(worker, _does(worker, now), held.get(worker.job_id or "")) for worker in fleet]
    return site.page(
        "fleet.html",
        lines=lines,
        mine=mine,
        everything=everything,
        waiting=waiting,
        operator=caller.operator,
        keyed=caller.key_id is not None,
    )


def _does(worker: WorkerInfo, now: datetime) -> Does:
    if now - worker.seen_at > timedelta(seconds=workers.SILENT):
        return "silent"
    if worker.draining:
        return "draining"
    return "busy" if worker.job_id else "free"
