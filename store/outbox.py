"""Order in which waiting jobs ring for a worker: fair shares over owners.

The outbox is the column ``next_ring_at``, set in the transaction that queues a job. Losing a ring or ringing twice is
harmless: a ring changes no state, and an unanswered ring is repeated, after longer and longer pauses.
"""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, aliased

from store.dialect import now
from store.tables import jobs

LONGEST_RING = 30.0
"""Most seconds between two rings for a job that no worker has claimed."""

SPARE = 32
"""Jobs looked at beyond those asked for, in case other dispatchers ring for the first ones at this moment."""


def due(s: Session, limit: int) -> list[str]:
    """Ids of up to ``limit`` queued jobs to ring for now, in order of their turns; each rings again if no worker claims it.

    Turns are sorted by the number of jobs of the same owner that run or wait before the job, fewest first; then by the time
    at which the owner was last served, longest ago first; then by the time that the job has waited, longest first. So all
    owners have equally many turns, however many jobs they have. Any number of dispatchers may ask at once: on PostgreSQL
    each gets other jobs.
    """
    waits = (jobs.c.state == "queued", jobs.c.next_ring_at <= now())
    owners = select(jobs.c.owner).where(*waits).distinct().subquery()
    of_owner = aliased(jobs)
    running = select(func.count()).select_from(of_owner)
    running = running.where(of_owner.c.owner == owners.c.owner, of_owner.c.state == "running")
    served = select(func.max(of_owner.c.claimed_at)).where(of_owner.c.owner == owners.c.owner)
    shares = select(
        owners.c.owner,
        running.scalar_subquery().label("running"),
        func.coalesce(served.scalar_subquery(), 0.0).label("served"),
    ).subquery()
    before = func.row_number().over(partition_by=jobs.c.owner, order_by=(jobs.c.queued_at, jobs.c.id))
    turns = (
        select(jobs.c.id, jobs.c.rings)
        .join(shares, shares.c.owner == jobs.c.owner)
        .where(*waits)
        .order_by(before + shares.c.running, shares.c.served, jobs.c.queued_at, jobs.c.id)
        .limit(limit + SPARE)
    )
    rung: list[str] = []
    for row in s.execute(turns).all():
        if len(rung) == limit:
            break
        # One after the other: a query that locks while it sorts is done again for every row that others have changed.
        free = select(jobs.c.id).where(jobs.c.id == row.id, *waits).with_for_update(skip_locked=True).scalar_subquery()
        pause = min(2.0 ** min(row.rings, 10), LONGEST_RING)
        ring = {"rings": row.rings + 1, "rung_at": now(), "next_ring_at": now() + pause}
        if s.scalar(update(jobs).where(jobs.c.id == free).values(**ring).returning(jobs.c.id)) is not None:
            rung.append(row.id)
    return rung
