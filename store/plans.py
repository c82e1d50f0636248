"""Transfer plans: written once, read by id or by job."""

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from store import datasets
from store.dialect import now, take_turns
from store.errors import JobNotFound, PlanNotFound, TooManyPlans
from store.tables import jobs, plans
from windtunnel.types import TransferPlan


def save(s: Session, plan: TransferPlan, *, owner: str, most: int | None = None) -> None:
    """Keep a plan of the owner's job under its own id.

    Args:
        s: a session that writes.
        plan: made from a job of the owner, which is not deleted until the transaction ends.
        owner: whose job it is.
        most: plans that the owner may have; None for any number.

    Raises:
        JobNotFound: the owner has no such job.
        TooManyPlans: the owner has ``most``.
    """
    this = select(jobs.c.id).where(jobs.c.id == plan.job_id, jobs.c.owner == owner)
    if s.scalar(this.with_for_update(read=True, key_share=True)) is None:
        raise JobNotFound(plan.job_id)
    if most is not None:
        take_turns(s, "plans", whose=owner)
        of_owner = select(func.count()).select_from(plans).join(jobs, jobs.c.id == plans.c.job_id)
        if (s.scalar(of_owner.where(jobs.c.owner == owner)) or 0) >= most:
            raise TooManyPlans(most)
    insert_plan(s, plan)


def remove(s: Session, plan_id: str, *, owner: str) -> None:
    """Delete a plan that was made from a job of the owner.

    Raises:
        PlanNotFound: the owner has no such plan.
    """
    own_jobs = select(jobs.c.id).where(jobs.c.owner == owner)
    gone = delete(plans).where(plans.c.id == plan_id, plans.c.job_id.in_(own_jobs))
    if s.scalar(gone.returning(plans.c.id)) is None:
        raise PlanNotFound(plan_id)


def insert_plan(s: Session, plan: TransferPlan) -> None:
    """Write the row of a plan. The caller holds its job already, as its owner or under its lease: this asks for neither."""
    s.execute(insert(plans).values(id=plan.id, job_id=plan.job_id, plan=plan.model_dump(mode="json"), created_at=now()))


def get(s: Session, plan_id: str, *, owner: str) -> TransferPlan:
    """One plan that was made from a job of the owner.

    Raises:
        PlanNotFound: the owner has no such plan.
    """
    of_owner = select(plans.c.plan).join(jobs, jobs.c.id == plans.c.job_id).where(jobs.c.owner == owner)
    plan = s.scalar(of_owner.where(plans.c.id == plan_id))
    if plan is None:
        raise PlanNotFound(plan_id)
    read = TransferPlan.model_validate(plan)
    facts = datasets.facts(s, [read.task]).get(read.task)
    return read if facts is None else read.knowing(facts)


def of_job(s: Session, job_id: str, *, owner: str) -> list[TransferPlan]:
    """Plans of the owner's job, oldest first.

    Raises:
        JobNotFound: the owner has no such job.
    """
    _check_job(s, job_id, owner)
    found = select(plans.c.plan).where(plans.c.job_id == job_id).order_by(plans.c.created_at, plans.c.id)
    return [TransferPlan.model_validate(plan) for plan in s.scalars(found)]


class PlanBrief(NamedTuple):
    """Size and date of a plan, which tell it from the other plans of its job."""

    id: str
    width: int
    depth: int
    steps: int
    forced: bool
    created_at: datetime


def briefs(s: Session, job_id: str, *, owner: str) -> list[PlanBrief]:
    """Size and date of each plan of the owner's job, oldest first.

    Raises:
        JobNotFound: the owner has no such job.
    """
    _check_job(s, job_id, owner)
    plan = plans.c.plan
    sizes = [plan[name].as_integer().label(name) for name in ("width", "depth", "steps")]
    query = select(plans.c.id, *sizes, plan["forced"].as_boolean().label("forced"), plans.c.created_at)
    found = s.execute(query.where(plans.c.job_id == job_id).order_by(plans.c.created_at, plans.c.id))
    return [
        PlanBrief(row.id, row.width, row.depth, row.steps, bool(row.forced), datetime.fromtimestamp(row.created_at, UTC))
        for row in found
    ]


def page(
    s: Session, job_id: str, *, owner: str, limit: int, after: str | None = None
) -> tuple[list[TransferPlan], str | None]:
    """Page of up to ``limit`` plans of the owner's job, oldest first, and the id after which the next page begins, if any.

    Raises:
        JobNotFound: the owner has no such job.
    """
    _check_job(s, job_id, owner)
    found = select(plans.c.id, plans.c.plan).where(plans.c.job_id == job_id).order_by(plans.c.id).limit(limit + 1)
    rows = s.execute(found if after is None else found.where(plans.c.id > after)).all()
    items = [TransferPlan.model_validate(row.plan) for row in rows[:limit]]
    return items, rows[limit - 1].id if len(rows) > limit else None


def _check_job(s: Session, job_id: str, owner: str) -> None:
    if s.scalar(select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.owner == owner)) is None:
        raise JobNotFound(job_id)
