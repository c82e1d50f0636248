"""The fleet: its workers, when each was last heard of, and what it does."""

from datetime import UTC, datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from store.dialect import now, upsert
from store.tables import workers
from windtunnel.types import WorkerInfo
from windtunnel.types.estimates import MachineSpeed

FORGOTTEN_AFTER = 86_400.0
"""Seconds after which a worker that has not been heard of leaves the list."""

SILENT = 60.0
"""Seconds without a word after which a worker is not counted as there: it was killed, or cannot reach the database."""


def seen(
    s: Session, worker_id: str, *, host: str, device: str, threads: int, started_at: datetime, job_id: str | None
) -> bool:
    """Note that this worker is alive, and the job it runs (None: it waits); True where it was asked to drain."""
    row = {
        "id": worker_id,
        "host": host,
        "device": device,
        "threads": threads,
        "job_id": job_id,
        "started_at": started_at.timestamp(),
        "seen_at": s.scalar(select(now())),
    }
    if job_id is None:
        row["steps_per_second"] = None
    upsert(s, workers, [row])
    s.execute(delete(workers).where(workers.c.seen_at < now() - FORGOTTEN_AFTER))
    return s.scalar(select(workers.c.drain_requested_at).where(workers.c.id == worker_id)) is not None


def free(s: Session) -> int:
    """Number of workers that are there, run nothing and are not being drained."""
    idle = (workers.c.job_id.is_(None), workers.c.drain_requested_at.is_(None), workers.c.seen_at > now() - SILENT)
    return s.scalar(select(func.count()).select_from(workers).where(*idle)) or 0


def request_drain(s: Session, worker_id: str) -> bool:
    """Ask a worker to release its job and take no other until it is started again; False where it is not on the list."""
    asked = update(workers).where(workers.c.id == worker_id).values(drain_requested_at=now()).returning(workers.c.id)
    return s.scalar(asked) is not None


def computes(s: Session, worker_id: str, steps_per_second: float) -> None:
    """Note how many inner steps a second the job of this worker does; nothing where it is not on the list."""
    s.execute(update(workers).where(workers.c.id == worker_id).values(steps_per_second=steps_per_second))


def measured(s: Session, worker_id: str, speed: MachineSpeed) -> None:
    """Note how fast this worker computes; nothing where it is not on the list."""
    s.execute(update(workers).where(workers.c.id == worker_id).values(speed=speed.model_dump(mode="json")))


def gone(s: Session, worker_id: str) -> None:
    """Take a worker that stops off the list."""
    s.execute(delete(workers).where(workers.c.id == worker_id))


def listing(s: Session) -> list[WorkerInfo]:
    """All workers heard of within a day, by id."""
    return [
        WorkerInfo(
            id=row.id,
            host=row.host,
            device=row.device,
            threads=row.threads,
            started_at=datetime.fromtimestamp(row.started_at, UTC),
            seen_at=datetime.fromtimestamp(row.seen_at, UTC),
            job_id=row.job_id,
            steps_per_second=row.steps_per_second,
            draining=row.drain_requested_at is not None,
            speed=None if row.speed is None else MachineSpeed.model_validate(row.speed),
        )
        for row in s.execute(select(workers).order_by(workers.c.id))
    ]
