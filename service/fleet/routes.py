"""Routes of the workers: who is there, what each does, and who is to leave."""

from fastapi import APIRouter

from service.dependencies import DatabaseDependency, OperatorDependency, OwnerDependency
from service.problems.answers import PROBLEMS, problem
from store import owners, workers
from windtunnel.types import WorkerInfo
from windtunnel.types.base import Response

router = APIRouter(prefix="/v1/workers", tags=["workers"], responses=PROBLEMS)


class WorkerList(Response):
    """Workers as last seen."""

    items: list[WorkerInfo]


@router.get("", response_model=WorkerList)
def list_workers(database: DatabaseDependency, owner: OwnerDependency) -> WorkerList:
    """The workers that have reported, and the job each is on where it is one of yours."""
    with database.snapshot() as session:
        fleet = workers.listing(session)
        own = owners.own_jobs(session, [worker.job_id for worker in fleet if worker.job_id], owner)
    hidden = {"job_id": None}
    return WorkerList(items=[worker if worker.job_id in own else worker.model_copy(update=hidden) for worker in fleet])


@router.post("/{worker_id}/drain", status_code=202, response_model=WorkerInfo)
def drain_worker(worker_id: str, database: DatabaseDependency, _: OperatorDependency) -> WorkerInfo:
    """Ask a worker to let go of its job, take no other, and end when all workers of its process are drained."""
    with database.transaction() as session:
        # A name with a NUL is no worker's, and PostgreSQL refuses to be asked for it.
        if "\0" in worker_id or not workers.request_drain(session, worker_id):
            raise problem(404, "not-found", "There is no such thing", f"there is no worker {worker_id!r}")
        return next(worker for worker in workers.listing(session) if worker.id == worker_id)
