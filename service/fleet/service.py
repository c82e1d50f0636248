"""The fleet as a caller sees it: the workers that have reported, and the request to drain one, for routes and pages."""

from service.caller import Caller, check_operator
from service.problems.answers import problem
from store import jobs, workers
from store.database import Database
from windtunnel.types import WorkerInfo


def listing(database: Database, caller: Caller) -> list[WorkerInfo]:
    """The workers that have reported, by id; the job of each only where it is the caller's."""
    with database.snapshot() as session:
        fleet = workers.listing(session)
        own = jobs.owned(session, [worker.job_id for worker in fleet if worker.job_id], owner=caller.owner)
    hidden = {"job_id": None}
    return [worker if worker.job_id in own else worker.model_copy(update=hidden) for worker in fleet]


def drain(database: Database, caller: Caller, worker_id: str) -> WorkerInfo:
    """Ask a worker to release its job and take no other.

    Raises:
        ProblemError: 403, the caller is no operator; 404, there is no such worker.
    """
    check_operator(caller)
    with database.transaction() as session:
        # A name with a NUL is no worker's, and PostgreSQL refuses to be asked for it.
        if "\0" in worker_id or not workers.request_drain(session, worker_id):
            raise problem(404, "not-found", "There is no such thing", f"there is no worker {worker_id!r}")
        return next(worker for worker in workers.listing(session) if worker.id == worker_id)
