"""A job's whole log, and the outer steps in it."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from store import events
from windtunnel.types import JobEvent, OuterStep

BATCH = 1000


def history(session: Session, job_id: str) -> list[JobEvent]:
    """Every event of the job, oldest first."""
    found: list[JobEvent] = []
    while True:
        batch = events.after(session, job_id, found[-1].seq if found else 0, limit=BATCH)
        found += batch
        if len(batch) < BATCH:
            return found


def outer_steps(log: Sequence[JobEvent]) -> list[OuterStep]:
    """The outer steps of a log, in order."""
    return [OuterStep.model_validate(event.data) for event in log if event.type == "outer_step"]
