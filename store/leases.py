"""What a worker may do to a job: claim it, keep it, write to it, let go of it. Every write names its epoch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, and_, func, insert, select, update
from sqlalchemy.orm import Session

from store import events
from store.dialect import now
from store.errors import LeaseLost
from store.tables import attempts, checkpoints, jobs
from windtunnel.types import CurrentPoint, Failure, Progress, TuneResult

MOST_BARREN_CRASHES = 3
"""A job that crashes so often with no new checkpoint in between fails for good."""

LONGEST_RING = 30.0
"""Most seconds between two rings for a job that nobody claims."""

_LEASE = (jobs.c.id, jobs.c.epoch, jobs.c.worker_id, jobs.c.threads)

Outcome = Literal["succeeded", "failed", "cancelled", "released", "crashed", "lost"]


@dataclass(frozen=True)
class Lease:
    """The right to run a job. ``epoch`` is the fencing token: a later lease of the same job has a higher one."""

    job_id: str
    epoch: int
    worker_id: str
    threads: int = 1
    """Compute threads of the job's first claim; the numbers repeat bit for bit only with as many."""


@dataclass(frozen=True)
class Signals:
    """What the store tells a worker that writes."""

    cancel: bool


def claim(s: Session, job_id: str, worker_id: str, ttl: float, *, threads: int = 1) -> Lease | None:
    """Take a queued job for ``ttl`` seconds of the database's clock; None where somebody else was faster.

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
            next_ring_at=None,
            rings=0,
            started_at=func.coalesce(jobs.c.started_at, now()),
        )
        .returning(jobs.c.epoch, jobs.c.threads, jobs.c.checkpoint_id)
    ).first()
    if taken is None:
        return None
    resumed_from = s.scalar(select(checkpoints.c.outer_step).where(checkpoints.c.id == taken.checkpoint_id))
    s.execute(insert(attempts).values(job_id=job_id, epoch=taken.epoch, worker_id=worker_id, started_at=now()))
    started = {"epoch": taken.epoch, "worker": worker_id, "resumed_from": resumed_from}
    events.append(s, job_id, "started", started)
    return Lease(job_id, taken.epoch, worker_id, taken.threads)


def held(lease: Lease) -> ColumnElement[bool]:
    """The fence: true for the job's row as long as the lease is the latest and the job runs."""
    return and_(jobs.c.id == lease.job_id, jobs.c.epoch == lease.epoch, jobs.c.state == "running")


def fence(s: Session, lease: Lease) -> Row[Any, Any]:
    """Hold the job's row until the transaction ends, so that all it writes is written under this lease.

    Raises:
        LeaseLost: the job runs under another lease, or not at all.
    """
    found = select(jobs.c.cancel_requested_at, jobs.c.barren_crashes).where(held(lease)).with_for_update()
    row = s.execute(found).first()
    if row is None:
        raise LeaseLost(lease.job_id, lease.epoch)
    return row


def beat(s: Session, lease: Lease, ttl: float) -> Signals:
    """Keep the lease for ``ttl`` more seconds. Raises LeaseLost."""
    return _write(s, lease, {"lease_until": now() + ttl})


def progress(
    s: Session, lease: Lease, done: Progress, current: CurrentPoint | None = None, best: CurrentPoint | None = None
) -> Signals:
    """Report how far the job is; a point that is None stays as it was. Raises LeaseLost."""
    values: dict[str, Any] = {"progress": done.model_dump(mode="json")}
    if current is not None:
        values["current"] = current.model_dump(mode="json")
    if best is not None:
        values["best"] = best.model_dump(mode="json")
    return _write(s, lease, values)


def _write(s: Session, lease: Lease, values: Mapping[str, Any]) -> Signals:
    hit = s.execute(update(jobs).where(held(lease)).values(**values).returning(jobs.c.cancel_requested_at)).first()
    if hit is None:
        raise LeaseLost(lease.job_id, lease.epoch)
    return Signals(cancel=hit.cancel_requested_at is not None)


def succeed(s: Session, lease: Lease, result: TuneResult) -> None:
    """running -> succeeded, with its result. Raises LeaseLost."""
    _leave(s, lease, "succeeded", "succeeded", {"result": result.model_dump(mode="json"), "finished_at": now()})
    best = result.best
    data = {"validation": best.validation.model_dump(mode="json"), "test": best.test.model_dump(mode="json")}
    events.append(s, lease.job_id, "succeeded", data)


def fail(s: Session, lease: Lease, failure: Failure) -> None:
    """running -> failed, with the reason. Raises LeaseLost."""
    reason = failure.model_dump(mode="json")
    _leave(s, lease, "failed", "failed", {"failure": reason, "finished_at": now()})
    events.append(s, lease.job_id, "failed", reason)


def mark_cancelled(s: Session, lease: Lease) -> None:
    """running -> cancelled; only once the job process is gone. Raises LeaseLost."""
    _leave(s, lease, "cancelled", "cancelled", {"finished_at": now()})
    events.append(s, lease.job_id, "cancelled", {})


def release(s: Session, lease: Lease, reason: str) -> None:
    """running -> queued, to go on elsewhere or later; cancelled where that was asked for meanwhile. Raises LeaseLost."""
    if fence(s, lease).cancel_requested_at is not None:
        mark_cancelled(s, lease)
        return
    _leave(s, lease, "queued", "released", {"next_ring_at": now(), "worker_id": None})
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
    if job.cancel_requested_at is not None:
        mark_cancelled(s, lease)
    elif barren >= MOST_BARREN_CRASHES:
        message = f"the job crashed {barren} times with no checkpoint in between; the last time: {failure.message}"
        hint = failure.hint or "look at the worker's log; a smaller model, batch or number of seeds needs less memory"
        fail(s, lease, Failure(type="poison", message=message, hint=hint))
    else:
        _leave(s, lease, "queued", outcome, {"next_ring_at": now(), "worker_id": None, "barren_crashes": barren})
        events.append(s, lease.job_id, "requeued", {"epoch": lease.epoch, "reason": outcome})


def _leave(s: Session, lease: Lease, state: str, outcome: Outcome, values: Mapping[str, Any]) -> None:
    """End this lease: the job moves to ``state``, the attempt is closed."""
    _write(s, lease, {"state": state, "lease_until": None, **values})
    this = (attempts.c.job_id == lease.job_id) & (attempts.c.epoch == lease.epoch)
    s.execute(update(attempts).where(this).values(ended_at=now(), outcome=outcome))


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
    return [Lease(row.id, row.epoch, row.worker_id, row.threads) for row in rows]


def due(s: Session, limit: int) -> list[str]:
    """Up to ``limit`` queued jobs that want a worker, longest waiting first; each rings again later if nobody claims it."""
    waiting = select(jobs.c.id, jobs.c.rings).where(jobs.c.state == "queued", jobs.c.next_ring_at <= now())
    waiting = waiting.order_by(jobs.c.next_ring_at, jobs.c.id).limit(limit).with_for_update(skip_locked=True)
    rung = s.execute(waiting).all()
    for row in rung:
        pause = min(2.0 ** min(row.rings, 10), LONGEST_RING)
        s.execute(update(jobs).where(jobs.c.id == row.id).values(rings=row.rings + 1, next_ring_at=now() + pause))
    return [row.id for row in rung]
