"""Leases: a worker claims a job, keeps it, writes to it, releases it. Every write names its epoch.

queued --claim--> running --succeed | fail | mark_cancelled--> succeeded | failed | cancelled
queued | paused | cancelled <--release | crash | lost lease | shrink-- running, by what its owner asked for meanwhile
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, and_, exists, func, insert, select, update
from sqlalchemy.orm import Session

from store import events
from store.dialect import now
from store.errors import LeaseLost
from store.tables import attempts, checkpoints, jobs, workers
from windtunnel.types import BestPoint, CurrentPoint, Failure, Progress, TuneResult

MOST_BARREN_CRASHES = 3
"""A job that crashes so often with no new checkpoint in between fails for good."""

REALLY_WAITS = 2.0
"""Seconds in the queue after which a job counts as waiting: a free worker would have taken it by then."""

_LEASE = (jobs.c.id, jobs.c.epoch, jobs.c.worker_id, jobs.c.threads, jobs.c.population)

Outcome = Literal["succeeded", "failed", "cancelled", "released", "crashed", "lost"]


@dataclass(frozen=True)
class Lease:
    """The right to run a job. ``epoch`` is the fencing token: a later lease of the same job has a higher one."""

    job_id: str
    epoch: int
    worker_id: str
    threads: int = 1
    """Compute threads of the job's first claim; the numbers repeat bit for bit only with as many."""
    population: int | None = None
    """Members to train at once, at most; None as long as memory has never run out."""


@dataclass(frozen=True)
class Signals:
    """Requests that the store passes on to a worker that writes."""

    cancel: bool
    pause: bool
    drain: bool = False
    """Whether the worker is asked to release its job and take no other."""
    others_wait: bool = False
    """Whether jobs wait and this one is among the jobs that have held a worker for longest."""

    @property
    def stop(self) -> bool:
        """True where the job's owner wants it to stop."""
        return self.cancel or self.pause


def claim(s: Session, job_id: str, worker_id: str, ttl: float, *, threads: int = 1) -> Lease | None:
    """Take a queued job for ``ttl`` seconds of the database's clock; None where another worker was faster.

    ``threads`` is what this worker would compute with; the lease says what the job must be computed with.
    """
    taken = s.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == "queued")
        .values(
            state="running",
            epoch=jobs.c.epoch + 1,
            worker_id=worker_id,
            threads=func.coalesce(jobs.c.threads, threads),
            lease_until=now() + ttl,
            renewed_at=now(),
            claimed_at=now(),
            next_ring_at=None,
            rings=0,
            started_at=func.coalesce(jobs.c.started_at, now()),
        )
        .returning(jobs.c.epoch, jobs.c.threads, jobs.c.population, jobs.c.checkpoint_id, jobs.c.rung_at)
    ).first()
    if taken is None:
        return None
    resumed_from = s.scalar(select(checkpoints.c.outer_step).where(checkpoints.c.id == taken.checkpoint_id))
    attempt = {"job_id": job_id, "epoch": taken.epoch, "worker_id": worker_id, "rung_at": taken.rung_at}
    s.execute(insert(attempts).values(**attempt, started_at=now()))
    started = {"epoch": taken.epoch, "worker": worker_id, "resumed_from": resumed_from}
    events.append(s, job_id, "started", started)
    return Lease(job_id, taken.epoch, worker_id, taken.threads, taken.population)


def held(lease: Lease) -> ColumnElement[bool]:
    """The fence: true for the job's row as long as the lease is the latest and the job runs."""
    return and_(jobs.c.id == lease.job_id, jobs.c.epoch == lease.epoch, jobs.c.state == "running")


def fence(s: Session, lease: Lease) -> Row[Any, Any, Any, Any]:
    """Hold the job's row until the transaction ends, so that all it writes is written under this lease.

    Raises:
        LeaseLost: the job runs under another lease, or not at all.
    """
    asked = (jobs.c.cancel_requested_at, jobs.c.pause_requested_at)
    found = select(*asked, jobs.c.barren_crashes, jobs.c.progress).where(held(lease)).with_for_update()
    row = s.execute(found).first()
    if row is None:
        raise LeaseLost(lease.job_id, lease.epoch)
    return row


def beat(s: Session, lease: Lease, ttl: float) -> Signals:
    """Keep the lease for ``ttl`` more seconds; what the job, its worker and the queue ask for. Raises LeaseLost."""
    signals = _write(s, lease, {"lease_until": now() + ttl, "renewed_at": now()})
    drained = exists().where(workers.c.id == lease.worker_id, workers.c.drain_requested_at.is_not(None))
    mine = select(jobs.c.claimed_at).where(jobs.c.id == lease.job_id).scalar_subquery()
    longer = select(func.count()).select_from(jobs).where(jobs.c.state == "running", jobs.c.claimed_at < mine)
    waiting = (
        select(func.count()).select_from(jobs).where(jobs.c.state == "queued", jobs.c.queued_at < now() - REALLY_WAITS)
    )
    # As many jobs are released as wait, the ones that have run for longest first.
    found = s.execute(select(drained, longer.scalar_subquery() < waiting.scalar_subquery())).one()
    return replace(signals, drain=bool(found[0]), others_wait=bool(found[1]))


def progress(
    s: Session, lease: Lease, done: Progress, current: CurrentPoint | None = None, best: BestPoint | None = None
) -> Signals:
    """Report how far the job is; a point that is None stays as it was. Raises LeaseLost."""
    values: dict[str, Any] = {"progress": done.model_dump(mode="json")}
    if current is not None:
        values["current"] = current.model_dump(mode="json")
    if best is not None:
        values["best"] = best.model_dump(mode="json")
    return _write(s, lease, values)


def _write(s: Session, lease: Lease, values: Mapping[str, Any]) -> Signals:
    asked = (jobs.c.cancel_requested_at, jobs.c.pause_requested_at)
    hit = s.execute(update(jobs).where(held(lease)).values(**values).returning(*asked)).first()
    if hit is None:
        raise LeaseLost(lease.job_id, lease.epoch)
    return Signals(cancel=hit.cancel_requested_at is not None, pause=hit.pause_requested_at is not None)


def succeed(s: Session, lease: Lease, result: TuneResult) -> None:
    """running -> succeeded, with its result; the best point is from now on the one of fresh seeds. Raises LeaseLost."""
    last = fence(s, lease).progress
    values = {
        "result": result.model_dump(mode="json"),
        "best": BestPoint.judged(result.best, result.gained, last["outer_step"], result.constant).model_dump(mode="json"),
        "finished_at": now(),
    }
    _leave(s, lease, "succeeded", "succeeded", values)
    best = result.best
    data = {"validation": best.validation.model_dump(mode="json"), "test": best.test.model_dump(mode="json")}
    events.append(s, lease.job_id, "succeeded", data)


def fail(s: Session, lease: Lease, failure: Failure) -> None:
    """running -> failed, with the reason. Raises LeaseLost."""
    reason = failure.model_dump(mode="json")
    _leave(s, lease, "failed", "failed", {"failure": reason, "finished_at": now()}, failure.message)
    events.append(s, lease.job_id, "failed", reason)


def mark_cancelled(s: Session, lease: Lease) -> None:
    """running -> cancelled; only once the job process is gone. Raises LeaseLost."""
    _leave(s, lease, "cancelled", "cancelled", {"finished_at": now()})
    events.append(s, lease.job_id, "cancelled", {})


def release(s: Session, lease: Lease, reason: str) -> None:
    """running -> queued, to go on elsewhere or later; cancelled or paused where that was asked for. Raises LeaseLost."""
    _let_go(s, lease, fence(s, lease), "released", reason)


def shrink(s: Session, lease: Lease, population: int, reason: str) -> None:
    """Memory ran out: from now on the job trains at most so many members at once. Raises LeaseLost.

    It goes back to the queue, for a fresh process, like ``release``.
    """
    job = fence(s, lease)
    _write(s, lease, {"population": population})
    events.append(s, lease.job_id, "population_reduced", {"epoch": lease.epoch, "population": population, "reason": reason})
    _let_go(s, lease, job, "released", reason)


def _let_go(s: Session, lease: Lease, job: Row[Any, Any, Any, Any], outcome: Outcome, reason: str, **values: Any) -> None:
    """End the lease of a job that has not ended: where it goes is for its owner to say, and the queue by default."""
    if job.cancel_requested_at is not None:
        mark_cancelled(s, lease)
    elif job.pause_requested_at is not None:
        _leave(s, lease, "paused", outcome, {"worker_id": None, **values}, reason)
        events.append(s, lease.job_id, "paused", {"epoch": lease.epoch})
    else:
        waits = {"next_ring_at": now(), "queued_at": now(), "rung_at": None, "worker_id": None}
        _leave(s, lease, "queued", outcome, {**waits, **values}, reason)
        events.append(s, lease.job_id, "requeued", {"epoch": lease.epoch, "reason": reason})


def crashed(s: Session, lease: Lease, failure: Failure) -> None:
    """running -> queued after a crash; failed (poison) at the third one with no checkpoint between. Raises LeaseLost."""
    _crash(s, lease, failure, "crashed")


def lost(s: Session, lease: Lease, message: str) -> None:
    """running -> queued because the worker has gone; counted as a crash: jobs kill workers. Raises LeaseLost."""
    _crash(s, lease, Failure(type="crashed", message=message), "lost")


def _crash(s: Session, lease: Lease, failure: Failure, outcome: Outcome) -> None:
    job = fence(s, lease)
    barren = job.barren_crashes + 1
    events.append(s, lease.job_id, "crashed", {"epoch": lease.epoch, "failure": failure.model_dump(mode="json")})
    if barren >= MOST_BARREN_CRASHES and job.cancel_requested_at is None:
        message = f"the job crashed {barren} times with no checkpoint in between; the last time: {failure.message}"
        hint = failure.hint or "look at the worker's log; a smaller model, batch or number of seeds needs less memory"
        fail(s, lease, Failure(type="poison", message=message, hint=hint))
    else:
        _let_go(s, lease, job, outcome, failure.message, barren_crashes=barren)


def _leave(
    s: Session, lease: Lease, state: str, outcome: Outcome, values: Mapping[str, Any], reason: str | None = None
) -> None:
    """End this lease: the job moves to ``state``, the attempt is closed."""
    _write(s, lease, {"state": state, "lease_until": None, **values})
    this = (attempts.c.job_id == lease.job_id) & (attempts.c.epoch == lease.epoch)
    s.execute(update(attempts).where(this).values(ended_at=now(), outcome=outcome, reason=reason))


def reap(s: Session) -> list[str]:
    """Take back every job whose lease has run out; the ids. Any number of reapers may run at once."""
    found = select(*_LEASE).where(jobs.c.state == "running", jobs.c.lease_until < now())
    overdue = _leases(s.execute(found.with_for_update(skip_locked=True)))
    for lease in overdue:
        lost(s, lease, f"worker {lease.worker_id} let its lease run out")
    return [lease.job_id for lease in overdue]


def running(s: Session) -> list[Lease]:
    """The leases of all running jobs, those that have run out included."""
    return _leases(s.execute(select(*_LEASE).where(jobs.c.state == "running")))


def _leases(rows: Iterable[Row[Any]]) -> list[Lease]:
    return [Lease(row.id, row.epoch, row.worker_id, row.threads, row.population) for row in rows]
