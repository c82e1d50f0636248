"""Route of the workers: who is there, and what each does."""

from fastapi import APIRouter

from service.answers import PROBLEMS
from service.dependencies import DatabaseDependency
from store import workers
from windtunnel.types import WorkerInfo
from windtunnel.types.base import Response

router = APIRouter(prefix="/v1/workers", tags=["workers"], responses=PROBLEMS)


class WorkerList(Response):
    """Workers as last seen."""

    items: list[WorkerInfo]


@router.get("", response_model=WorkerList)
def list_workers(database: DatabaseDependency) -> WorkerList:
    """The workers that have reported, and the job each is on."""
    with database.snapshot() as session:
        return WorkerList(items=workers.listing(session))
