"""Jobs as their callers see them: submit, fork, list, read, cancel, pause, resume, for routes and pages alike."""

from service.caller import Caller
from service.datasets.admission import checked, missing
from service.jobs.admission import population_errors
from service.jobs.bundle import bundle
from service.jobs.forking import ForkRequest, begun_at, forked
from service.jobs.schemas import JobsQuery, MetricsQuery, NotFinished
from service.problems.answers import ProblemError, invalid
from service.settings import ServiceSettings
from store import events, jobs, metrics, removal
from store.database import Database
from store.errors import DatasetNotFound
from store.files import remove_job_files
from windtunnel.types import Job, JobEvent, JobPage, JobSpec, MetricPoints, TuneResult
from windtunnel.types.labels import JobLabels


def submit(database: Database, settings: ServiceSettings, caller: Caller, spec: JobSpec, key: str | None = None) -> Job:
    """Queue a job of the caller, or return the one that this idempotency key made before.

    Raises:
        ProblemError: 422, a field does not fit the data set, or the job would not fit in memory.
        IdempotencyConflict: the key was used with another spec.
        TooManyJobs: the caller has as many jobs that have not ended as one may have.
    """
    spec = checked(spec, database, caller)
    too_large = population_errors(spec, settings.max_population_bytes)
    if too_large:
        raise invalid(too_large)
    try:
        with database.transaction() as session:
            return jobs.submit(session, spec, owner=caller.owner, idempotency_key=key, most=settings.max_jobs)
    except DatasetNotFound as error:  # deleted since it was looked at
        raise missing(error) from error


def fork(
    database: Database,
    settings: ServiceSettings,
    caller: Caller,
    job_id: str,
    wanted: ForkRequest,
    key: str | None = None,
) -> Job:
    """Queue another job with the spec of one of the caller's, but for what ``wanted`` overrides.

    Raises:
        JobNotFound: the caller has no such job.
        ProblemError: 409, the parent has no result to begin at; or as ``submit`` does.
    """
    with database.snapshot() as session:
        parent = jobs.get(session, job_id, owner=caller.owner)
        found = jobs.result(session, job_id, owner=caller.owner) if wanted.from_best else None
    if wanted.from_best and found is None:
        raise not_finished(parent)
    spec = forked(parent.spec, wanted)
    if found is not None:
        spec = begun_at(checked(spec, database, caller), found.best.hyperparameters)
    return submit(database, settings, caller, spec, key)


def page(database: Database, caller: Caller, query: JobsQuery) -> JobPage:
    """One page of the caller's jobs, and how many there are in each state. Raises InvalidCursor."""
    with database.snapshot() as session:
        found = jobs.page(session, owner=caller.owner, **query.model_dump() | {"order": query.way})
        counts = jobs.counts(session, owner=caller.owner, task=query.task, search=query.search, tag=query.tag)
    return found.model_copy(update={"counts": counts})


def get(database: Database, caller: Caller, job_id: str) -> Job:
    """One job of the caller. Raises JobNotFound."""
    with database.snapshot() as session:
        return jobs.get(session, job_id, owner=caller.owner)


def label(database: Database, caller: Caller, job_id: str, change: JobLabels) -> Job:
    """Change name, tags or notes of a job of the caller. Raises JobNotFound."""
    with database.transaction() as session:
        return jobs.label(session, job_id, change, owner=caller.owner)


def cancel(database: Database, caller: Caller, job_id: str) -> Job:
    """Cancel a job of the caller, or ask its worker to stop. Raises JobNotFound."""
    with database.transaction() as session:
        return jobs.request_cancel(session, job_id, owner=caller.owner)


def pause(database: Database, caller: Caller, job_id: str) -> Job:
    """Pause a job of the caller, or ask its worker to release it. Raises JobNotFound."""
    with database.transaction() as session:
        return jobs.request_pause(session, job_id, owner=caller.owner)


def resume(database: Database, caller: Caller, job_id: str) -> Job:
    """Let a paused job of the caller go on. Raises JobNotFound."""
    with database.transaction() as session:
        return jobs.resume(session, job_id, owner=caller.owner)


def delete(database: Database, settings: ServiceSettings, caller: Caller, job_id: str) -> None:
    """Delete a job of the caller that has ended, with all that was recorded of it, its plans and its files.

    Raises:
        JobNotFound: the caller has no such job.
        JobLives: it has not ended.
    """
    with database.transaction() as session:
        removal.remove_job(session, job_id, owner=caller.owner)
    remove_job_files(settings.data_dir, job_id)


def events_after(database: Database, caller: Caller, job_id: str, seq: int, limit: int) -> list[JobEvent]:
    """Up to ``limit`` events of a job of the caller with numbers above ``seq``. Raises JobNotFound."""
    with database.snapshot() as session:
        return events.after(session, job_id, seq, limit=limit, owner=caller.owner)


def metrics_of(database: Database, caller: Caller, job_id: str, query: MetricsQuery) -> list[MetricPoints]:
    """Metric series of a job of the caller, thinned where they are long. Raises JobNotFound."""
    with database.snapshot() as session:
        return metrics.points(session, job_id, query.series or None, query.max_points, owner=caller.owner)


def result(database: Database, caller: Caller, job_id: str) -> TuneResult:
    """The result of a job of the caller.

    Raises:
        JobNotFound: the caller has no such job.
        ProblemError: 409, it has no result, yet or ever.
    """
    with database.snapshot() as session:
        found = jobs.result(session, job_id, owner=caller.owner)
        if found is None:
            raise not_finished(jobs.get(session, job_id, owner=caller.owner))
    return found


def bundled(database: Database, caller: Caller, job_id: str) -> bytes:
    """Everything about a job of the caller in one zip. Raises JobNotFound."""
    with database.snapshot() as session:
        return bundle(session, job_id, owner=caller.owner)


def not_finished(job: Job) -> ProblemError:
    """Problem 409 for a job that has no result, yet or ever."""
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
