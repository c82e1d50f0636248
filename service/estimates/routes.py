"""Route of the estimates: what a job would take, before anything is spent."""

from fastapi import APIRouter

from hpo.sizing.estimate import estimate
from hpo.sizing.sizes import Sizes
from service.answers import PROBLEMS, invalid
from service.datasets.admission import checked
from service.dependencies import DatabaseDependency, OwnerDependency, SettingsDependency
from service.jobs.admission import absence, population_errors
from store import workers
from store.database import Database
from windtunnel.types import JobSpec, WorkerInfo
from windtunnel.types.estimates import Estimate

router = APIRouter(prefix="/v1/estimates", tags=["estimates"], responses=PROBLEMS)


@router.post("", response_model=Estimate)
def create_estimate(
    spec: JobSpec, database: DatabaseDependency, settings: SettingsDependency, owner: OwnerDependency
) -> Estimate:
    """Run-equivalents, seconds and peak memory of a job; where it does not fit, what would. Nothing is queued."""
    spec = checked(spec, database, owner)
    if absent := absence(spec):
        raise invalid(absent)
    worker = latest_measured(database)
    limit = settings.max_population_bytes
    speed, name = (None, None) if worker is None else (worker.speed, worker.id)
    return estimate(Sizes.of(spec, spec.info), limit, speed, name, population_errors(spec, limit))


def latest_measured(database: Database) -> WorkerInfo | None:
    """The worker heard of last among those that have measured their speed."""
    with database.snapshot() as session:
        fleet = workers.listing(session)
    return max((worker for worker in fleet if worker.speed), key=lambda worker: worker.seen_at, default=None)
