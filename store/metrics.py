"""Series of numbers over a job's outer steps."""

import math
from collections.abc import Mapping

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from store.dialect import upsert
from store.errors import JobNotFound
from store.leases import Lease, fence
from store.tables import jobs, metrics
from windtunnel.types import MetricPoints


def record(s: Session, lease: Lease, step: int, values: Mapping[str, float]) -> None:
    """Write one step's value of each series; a step that is computed again overwrites itself.

    Raises:
        LeaseLost: the lease is not the job's latest.
        ValueError: a value is not finite.
    """
    fence(s, lease)
    bad = {series: value for series, value in values.items() if not math.isfinite(value)}
    if bad:
        raise ValueError(f"metrics of step {step} of job {lease.job_id} are not finite: {bad}")
    rows = [
        {"job_id": lease.job_id, "series": series, "step": step, "value": float(value)}
        for series, value in sorted(values.items())
    ]
    if rows:
        upsert(s, metrics, rows)


def points(
    s: Session, job_id: str, series: list[str] | None = None, max_points: int = 1000, *, owner: str
) -> list[MetricPoints]:
    """Series of the owner's job, sorted by name, each thinned evenly to ``max_points`` at most; first and last points stay.

    Args:
        series: names; None for all. A name that the job does not have gives no entry.
        max_points: at least 2.

    Raises:
        JobNotFound: the owner has no such job.
        ValueError: ``max_points`` is below 2.
    """
    if max_points < 2:
        raise ValueError(f"max_points must be at least 2 (the ends of a series), got {max_points}")
    if s.scalar(select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.owner == owner)) is None:
        raise JobNotFound(job_id)
    numbered = select(
        metrics.c.series,
        metrics.c.step,
        metrics.c.value,
        (func.row_number().over(partition_by=metrics.c.series, order_by=metrics.c.step) - 1).label("index"),
        (func.count().over(partition_by=metrics.c.series) - 1).label("last"),
    ).where(metrics.c.job_id == job_id)
    if series is not None:
        numbered = numbered.where(metrics.c.series.in_(series))
    rows = numbered.subquery()
    stride = (rows.c.last + max_points - 2) // (max_points - 1)
    kept = or_(rows.c.last < max_points, rows.c.index % stride == 0, rows.c.index == rows.c.last)
    found: dict[str, MetricPoints] = {}
    for row in s.execute(select(rows).where(kept).order_by(rows.c.series, rows.c.step)):
        entry = found.setdefault(row.series, MetricPoints(series=row.series, steps=[], values=[]))
        entry.steps.append(row.step)
        entry.values.append(row.value)
    return list(found.values())
