"""Rows of checkpoints, one for a folder of files. workers/checkpoints.py writes the files before, and reads them after."""

from dataclasses import dataclass
from math import inf

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from store import events
from store.dialect import now
from store.leases import Lease, fence
from store.tables import checkpoints, jobs

KEPT = 2
"""Checkpoints of a job that stay, beside the best: the newest, and the one to fall back on."""


@dataclass(frozen=True)
class Checkpoint:
    """One folder of checkpoint files."""

    id: int
    job_id: str
    epoch: int
    outer_step: int
    """The last outer step that is in it."""
    path: str
    """The folder, relative to the data folder, with forward slashes."""
    manifest_sha256: str
    loss: float | None = None
    """Validation loss, nats, of the point that it stands at; None where every run at it diverged."""


def record(
    s: Session, lease: Lease, *, outer_step: int, path: str, manifest_sha256: str, loss: float | None = None
) -> list[Checkpoint]:
    """Make this the job's newest checkpoint; forget all but the last two and the best. Those forgotten: their files may go.

    It is progress: the job's count of barren crashes starts again. Raises LeaseLost.
    """
    fence(s, lease)
    row = {"job_id": lease.job_id, "epoch": lease.epoch, "outer_step": outer_step, "path": path, "loss": loss}
    made = insert(checkpoints).values(**row, manifest_sha256=manifest_sha256, created_at=now())
    newest = s.execute(made.returning(checkpoints.c.id)).scalar_one()
    s.execute(update(jobs).where(jobs.c.id == lease.job_id).values(checkpoint_id=newest, barren_crashes=0))
    known = newest_first(s, lease.job_id)
    best = min(known, key=lambda checkpoint: inf if checkpoint.loss is None else checkpoint.loss)
    old = [checkpoint for checkpoint in known[KEPT:] if checkpoint != best]
    s.execute(delete(checkpoints).where(checkpoints.c.id.in_([checkpoint.id for checkpoint in old])))
    return old


def recorded(s: Session, lease: Lease, outer_step: int) -> bool:
    """True where this lease has written this outer step: a transaction whose commit was not confirmed did go through."""
    this = (checkpoints.c.job_id == lease.job_id, checkpoints.c.epoch == lease.epoch)
    return s.scalar(select(checkpoints.c.id).where(*this, checkpoints.c.outer_step == outer_step)) is not None


def newest_first(s: Session, job_id: str) -> list[Checkpoint]:
    """The job's checkpoints, in the order in which to try them."""
    found = select(checkpoints).where(checkpoints.c.job_id == job_id).order_by(checkpoints.c.id.desc())
    return [
        Checkpoint(row.id, row.job_id, row.epoch, row.outer_step, row.path, row.manifest_sha256, row.loss)
        for row in s.execute(found)
    ]


def reject(s: Session, lease: Lease, checkpoint: Checkpoint, reason: str) -> None:
    """Forget a checkpoint whose files are not what was written, and point at the one before it. Raises LeaseLost."""
    fence(s, lease)
    s.execute(delete(checkpoints).where(checkpoints.c.id == checkpoint.id))
    left = newest_first(s, lease.job_id)
    s.execute(update(jobs).where(jobs.c.id == lease.job_id).values(checkpoint_id=left[0].id if left else None))
    data = {
        "epoch": checkpoint.epoch,
        "outer_step": checkpoint.outer_step,
        "reason": reason,
        "falls_back_to": left[0].outer_step if left else None,
    }
    events.append(s, lease.job_id, "checkpoint_rejected", data)
