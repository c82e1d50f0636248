"""Estimates: what a job of the caller would take, for the route and the pages."""

from hpo.footprint.sizes import Sizes
from hpo.sizing.estimate import estimate
from service.caller import Caller
from service.datasets.admission import checked
from service.jobs.admission import absence, population_errors
from service.problems.answers import invalid
from service.settings import ServiceSettings
from store import workers
from store.database import Database
from windtunnel.types import JobSpec, WorkerInfo
from windtunnel.types.estimates import Estimate


def estimated(database: Database, settings: ServiceSettings, caller: Caller, spec: JobSpec) -> Estimate:
    """Run-equivalents, seconds and peak memory of a job, by the speed of the worker heard of last.

    Raises:
        ProblemError: 422, there is no such task, or a field does not fit the data set.
    """
    spec = checked(spec, database, caller)
    if absent := absence(spec):
        raise invalid(absent)
    worker = _latest_measured(database)
    limit = settings.max_population_bytes
    speed, name = (None, None) if worker is None else (worker.speed, worker.id)
    return estimate(Sizes.of(spec, spec.info), limit, speed, name, population_errors(spec, limit))


def _latest_measured(database: Database) -> WorkerInfo | None:
    """The worker heard of last among those that have measured their speed."""
    with database.snapshot() as session:
        fleet = workers.listing(session)
    return max((worker for worker in fleet if worker.speed), key=lambda worker: worker.seen_at, default=None)
