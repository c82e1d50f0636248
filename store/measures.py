"""Measures of a fleet, counted from the database, so that any server knows those of every worker."""

from dataclasses import dataclass
from typing import get_args

from sqlalchemy import ColumnElement, Select, Subquery, case, func, select
from sqlalchemy.orm import Session

from store.dialect import now
from store.tables import attempts, jobs, webhook_deliveries, workers
from store.workers import SILENT
from windtunnel.types.jobs import FailureType, JobState

RING_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds from ring to start: upper ends of the histogram's buckets."""


@dataclass(frozen=True)
class Measures:
    """One look at the fleet. Times are in seconds, by the database's clock."""

    jobs: dict[JobState, int]
    """Number of jobs in each state."""
    oldest_waits: float
    """Seconds that the longest-waiting job has waited; 0 where none waits."""
    lease_ages: dict[str, float]
    """Worker that runs a job -> seconds since its lease was renewed."""
    overdue: int
    """Leases that have run out and that no reaper has taken back yet."""
    steps_per_second: dict[str, float]
    """Worker that runs a job -> inner steps of members a second."""
    workers: dict[str, int]
    """Number of workers that are ``free``, ``busy``, ``draining``, ``silent``."""
    failures: dict[FailureType, int]
    """Failed jobs by type."""
    attempts: dict[str, int]
    """Ended attempts by outcome."""
    ring_buckets: tuple[int, ...]
    """Attempts that started within each of RING_BUCKETS after their ring."""
    rings: int
    """Attempts whose ring is known."""
    ring_seconds: float
    """Sum of the seconds from ring to start over those attempts."""
    messages_wait: int
    """Messages to webhooks that have not been delivered or given up."""
    oldest_message: float
    """Seconds that the oldest message has waited; 0 where none waits."""


def measure(s: Session) -> Measures:
    """Counts and times of the whole fleet at this moment."""
    states = dict.fromkeys(get_args(JobState), 0)
    states |= {row.state: row.number for row in s.execute(_counted(jobs.c.state, "state"))}
    queued = jobs.c.state == "queued"
    running = select(jobs.c.worker_id, jobs.c.renewed_at, jobs.c.lease_until, now().label("now"))
    held = s.execute(running.where(jobs.c.state == "running")).all()
    fleet = s.execute(select(workers, now().label("now"))).all()
    failure = jobs.c.failure["type"].as_string()
    failed = select(failure.label("type"), func.count().label("number")).where(jobs.c.state == "failed").group_by(failure)
    failures = dict.fromkeys(get_args(FailureType), 0)
    failures |= {row.type: row.number for row in s.execute(failed)}
    ended = _counted(attempts.c.outcome, "outcome").where(attempts.c.outcome.is_not(None))
    waits = _ring_latencies()
    within = [func.coalesce(func.sum(case((waits.c.seconds <= bound, 1), else_=0)), 0) for bound in RING_BUCKETS]
    rung = s.execute(select(func.count(), func.coalesce(func.sum(waits.c.seconds), 0.0), *within).select_from(waits)).one()
    waiting = webhook_deliveries.c.state == "pending"
    age = func.coalesce(func.max(now() - webhook_deliveries.c.created_at), 0.0)
    messages = s.execute(select(func.count(), age).select_from(webhook_deliveries).where(waiting)).one()
    count = dict.fromkeys(("free", "busy", "draining", "silent"), 0)
    for worker in fleet:
        silent = worker.seen_at < worker.now - SILENT
        busy = "busy" if worker.job_id else "free"
        count["silent" if silent else "draining" if worker.drain_requested_at else busy] += 1
    return Measures(
        jobs=states,
        oldest_waits=s.scalar(select(func.coalesce(func.max(now() - jobs.c.queued_at), 0.0)).where(queued)) or 0.0,
        lease_ages={row.worker_id: row.now - (row.renewed_at or row.now) for row in held},
        overdue=sum(row.lease_until < row.now for row in held),
        steps_per_second={row.id: row.steps_per_second for row in fleet if row.steps_per_second is not None},
        workers=count,
        failures=failures,
        attempts={row.outcome: row.number for row in s.execute(ended)},
        ring_buckets=tuple(int(value) for value in rung[2:]),
        rings=int(rung[0]),
        ring_seconds=float(rung[1]),
        messages_wait=int(messages[0]),
        oldest_message=float(messages[1]),
    )


def states_of(s: Session, *, owner: str) -> dict[JobState, int]:
    """Number of jobs of the owner in each state."""
    counted = _counted(jobs.c.state, "state").where(jobs.c.owner == owner)
    return dict.fromkeys(get_args(JobState), 0) | {row.state: row.number for row in s.execute(counted)}


def _counted(column: ColumnElement[str], name: str) -> Select[str, int]:
    return select(column.label(name), func.count().label("number")).group_by(column)


def _ring_latencies() -> Subquery:
    """Seconds from ring to start of every attempt whose ring is known."""
    seconds = (attempts.c.started_at - attempts.c.rung_at).label("seconds")
    return select(seconds).where(attempts.c.rung_at.is_not(None)).subquery()
