"""The event log of a job: dense numbers 1, 2, 3, ..., in the order of the transactions that wrote them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from store import deliveries
from store.dialect import now
from store.errors import JobNotFound
from store.tables import events, jobs
from windtunnel.types import TERMINAL_STATES, EventType, JobEvent
from windtunnel.types.webhooks import JOB_EVENTS

BATCH = 1000
"""Events read at once of a whole log."""


def append(s: Session, job_id: str, type: EventType, data: Mapping[str, Any]) -> int:  # noqa: A002
    """Add one event in the caller's transaction and return its number; webhooks that ask for it get a message.

    The caller holds the job already, as its owner or under its lease: this asks for neither. The counter's row stays locked
    until the transaction ends, so a number that is seen has no gap before it.

    Raises:
        JobNotFound: no such job.
    """
    told = (jobs.c.last_seq, jobs.c.owner, jobs.c.name, jobs.c.task, jobs.c.state)
    counted = update(jobs).where(jobs.c.id == job_id).values(last_seq=jobs.c.last_seq + 1).returning(*told)
    job = s.execute(counted).first()
    if job is None:
        raise JobNotFound(job_id)
    seq: int = job.last_seq
    s.execute(insert(events).values(job_id=job_id, seq=seq, type=type, data=dict(data), at=now()))
    if type in JOB_EVENTS:
        about = {"job_id": job_id, "name": job.name, "task": job.task, "state": job.state, "seq": seq}
        deliveries.enqueue(s, f"job.{type}", {**about, "details": dict(data)}, owner=job.owner)
    return seq


def after(s: Session, job_id: str, seq: int, limit: int = 1000, *, owner: str) -> list[JobEvent]:
    """Returns up to ``limit`` events of the owner's job with numbers above ``seq``, in order.

    Raises:
        JobNotFound: the owner has no such job.
    """
    if s.scalar(select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.owner == owner)) is None:
        raise JobNotFound(job_id)
    found = select(events).where(events.c.job_id == job_id, events.c.seq > seq).order_by(events.c.seq).limit(limit)
    return [
        JobEvent(job_id=row.job_id, seq=row.seq, type=row.type, data=row.data, at=datetime.fromtimestamp(row.at, UTC))
        for row in s.execute(found)
    ]


def newest(s: Session, *, owner: str) -> dict[str, int]:
    """Number of the last event of each job of the owner that has not ended, by id."""
    alive = (jobs.c.owner == owner, jobs.c.state.not_in(TERMINAL_STATES))
    return {row.id: row.last_seq for row in s.execute(select(jobs.c.id, jobs.c.last_seq).where(*alive))}


def history(s: Session, job_id: str, *, owner: str) -> list[JobEvent]:
    """Every event of the owner's job, oldest first.

    Raises:
        JobNotFound: the owner has no such job.
    """
    found: list[JobEvent] = []
    while True:
        batch = after(s, job_id, found[-1].seq if found else 0, limit=BATCH, owner=owner)
        found += batch
        if len(batch) < BATCH:
            return found
