"""Reads and writes of a job process on the job that it holds, beside the job's state: all of them under its lease.

A worker works for no user, so nothing here takes an owner: the epoch of the lease stands for the right to the job. Each
function raises LeaseLost where the lease is not the job's latest, or the job does not run.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, Row, select
from sqlalchemy.orm import Session

from store import events, jobs, plans
from store.datasets import as_dataset
from store.errors import DatasetNotFound, LeaseLost
from store.leases import Lease, fence, held
from store.tables import datasets
from store.tables import events as log
from store.tables import jobs as table
from windtunnel.types import Dataset, EventType, Job, TransferPlan


def job(s: Session, lease: Lease) -> Job:
    """The job that the lease is for."""
    return jobs.as_jobs(s, [_columns(s, lease, jobs.SHOWN)])[0]


def dataset(s: Session, lease: Lease) -> Dataset:
    """The uploaded data set that the job learns from; none is deleted while a job that has not ended reads it.

    Raises:
        DatasetNotFound: there is no such data set.
    """
    task = _columns(s, lease, [table.c.task]).task
    row = s.execute(select(datasets).where(datasets.c.id == task)).first()
    if row is None:
        raise DatasetNotFound(task)
    return as_dataset(row)


def last_outer_step(s: Session, lease: Lease) -> int | None:
    """Number of the last outer step in the job's log; None before the first."""
    _columns(s, lease, [table.c.id])
    steps = select(log.c.data).where(log.c.job_id == lease.job_id, log.c.type == "outer_step")
    data: dict[str, Any] | None = s.scalar(steps.order_by(log.c.seq.desc()).limit(1))
    return None if data is None else int(data["outer_step"])


def append(s: Session, lease: Lease, type: EventType, data: Mapping[str, Any]) -> None:  # noqa: A002
    """Add one event to the job's log."""
    fence(s, lease)
    events.append(s, lease.job_id, type, data)


def save_plan(s: Session, lease: Lease, plan: TransferPlan) -> None:
    """Keep the plan that the job's process made from its result, and say so in the log."""
    fence(s, lease)
    plans.insert_plan(s, plan, owner=_columns(s, lease, [table.c.owner]).owner)
    events.append(s, lease.job_id, "plan_created", {"plan_id": plan.id})


def _columns(s: Session, lease: Lease, columns: Iterable[Column[Any]]) -> Row[Any]:
    """The given columns of the row of the leased job. Raises LeaseLost."""
    row = s.execute(select(*columns).where(held(lease))).first()
    if row is None:
        raise LeaseLost(lease.job_id, lease.epoch)
    return row
