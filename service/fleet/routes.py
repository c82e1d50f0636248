"""Routes of the workers: the list of workers and their jobs, and the request to drain one."""

from fastapi import APIRouter

from service.dependencies import CallerDependency, DatabaseDependency
from service.fleet import service
from service.problems.answers import PROBLEMS
from windtunnel.types import WorkerInfo
from windtunnel.types.base import Response

router = APIRouter(prefix="/v1/workers", tags=["workers"], responses=PROBLEMS)


class WorkerList(Response):
    """Workers as last seen."""

    items: list[WorkerInfo]


@router.get("", response_model=WorkerList)
def list_workers(database: DatabaseDependency, caller: CallerDependency) -> WorkerList:
    """The workers that have reported, and the job each is on where it is one of yours."""
    return WorkerList(items=service.listing(database, caller))


@router.post("/{worker_id}/drain", status_code=202, response_model=WorkerInfo)
def drain_worker(worker_id: str, database: DatabaseDependency, caller: CallerDependency) -> WorkerInfo:
    """Ask a worker to release its job, take no other, and end when all workers of its process are drained."""
    return service.drain(database, caller, worker_id)
