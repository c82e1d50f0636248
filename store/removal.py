"""Takes jobs away with all that was recorded of them: at their owner's wish, or because they ended long ago.

The files of checkpoints are the caller's to remove, after the commit: they lie in ``jobs/<id>`` below the data folder.
"""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from store.dialect import now
from store.errors import JobLives, JobNotFound
from store.tables import attempts, checkpoints, events, idempotency_keys, jobs, metrics, plans
from windtunnel.types import TERMINAL_STATES


def remove_job(s: Session, job_id: str, *, owner: str) -> None:
    """Delete a job of the owner that has ended, with its log, metrics, attempts, checkpoints and plans.

    Its idempotency key is free again.

    Raises:
        JobNotFound: the owner has no such job.
        JobLives: it has not ended.
    """
    this = select(jobs.c.state).where(jobs.c.id == job_id, jobs.c.owner == owner)
    state = s.scalar(this.with_for_update())
    if state is None:
        raise JobNotFound(job_id)
    if state not in TERMINAL_STATES:
        raise JobLives(job_id, state)
    for table in (checkpoints, metrics, events, plans, attempts, idempotency_keys):
        s.execute(delete(table).where(table.c.job_id == job_id))
    s.execute(delete(jobs).where(jobs.c.id == job_id))


def ended_before(s: Session, seconds: float, limit: int) -> list[tuple[str, str]]:
    """(id, owner) of up to ``limit`` jobs of all owners that ended longer ago than this, oldest first."""
    old = select(jobs.c.id, jobs.c.owner).where(
        jobs.c.state.in_(sorted(TERMINAL_STATES)), jobs.c.finished_at < now() - seconds
    )
    return [(row.id, row.owner) for row in s.execute(old.order_by(jobs.c.id).limit(limit))]
