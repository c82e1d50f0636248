"""The fleet: which workers there are, when each was last heard of, and what it does."""

from datetime import UTC, datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from store.dialect import now, upsert
from store.tables import workers
from windtunnel.types import WorkerInfo
from windtunnel.types.estimates import MachineSpeed

FORGOTTEN_AFTER = 86_400.0
"""Seconds after which a worker that has not been heard of leaves the list."""


def seen(
    s: Session, worker_id: str, *, host: str, device: str, threads: int, started_at: datetime, job_id: str | None
) -> None:
    """Note that this worker is alive, and the job it runs (None: it waits)."""
    row = {
        "id": worker_id,
        "host": host,
        "device": device,
        "threads": threads,
        "job_id": job_id,
        "started_at": started_at.timestamp(),
        "seen_at": s.scalar(select(now())),
    }
    upsert(s, workers, [row])
    s.execute(delete(workers).where(workers.c.seen_at < now() - FORGOTTEN_AFTER))


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
            speed=None if row.speed is None else MachineSpeed.model_validate(row.speed),
        )
        for row in s.execute(select(workers).order_by(workers.c.id))
    ]
