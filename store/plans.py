"""Transfer plans: written once, read by id or by job."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, func, insert, select
from sqlalchemy.orm import Session

from store import datasets
from store.dialect import now, take_turns
from store.errors import JobNotFound, PlanNotFound, TooManyPlans
from store.tables import jobs, plans
from windtunnel.types import TransferPlan


def save(s: Session, plan: TransferPlan, *, owner: str, most: int | None = None) -> None:
    """Keep a plan of the owner under its own id.

    Args:
        s: a session that writes.
        plan: made from a job of the owner, which is not deleted until the transaction ends, or from given values.
        owner: whose plan it is.
        most: plans that the owner may have; None for any number.

    Raises:
        JobNotFound: the owner has no such job.
        TooManyPlans: the owner has ``most``.
    """
    this = select(jobs.c.id).where(jobs.c.id == plan.job_id, jobs.c.owner == owner)
    if plan.job_id is not None and s.scalar(this.with_for_update(read=True, key_share=True)) is None:
        raise JobNotFound(plan.job_id)
    if most is not None:
        take_turns(s, "plans", whose=owner)
        if (s.scalar(select(func.count()).select_from(plans).where(plans.c.owner == owner)) or 0) >= most:
            raise TooManyPlans(most)
    insert_plan(s, plan, owner=owner)


def remove(s: Session, plan_id: str, *, owner: str) -> None:
    """Delete a plan of the owner.

    Raises:
        PlanNotFound: the owner has no such plan.
    """
    gone = delete(plans).where(plans.c.id == plan_id, plans.c.owner == owner)
    if s.scalar(gone.returning(plans.c.id)) is None:
        raise PlanNotFound(plan_id)


def insert_plan(s: Session, plan: TransferPlan, *, owner: str) -> None:
    """Write the row of a plan. The caller holds its job already, as its owner or under its lease: this asks for neither."""
    row = {"id": plan.id, "job_id": plan.job_id, "owner": owner, "plan": plan.model_dump(mode="json")}
    s.execute(insert(plans).values(**row, created_at=now()))


def get(s: Session, plan_id: str, *, owner: str) -> TransferPlan:
    """One plan of the owner.

    Raises:
        PlanNotFound: the owner has no such plan.
    """
    plan = s.scalar(select(plans.c.plan).where(plans.c.id == plan_id, plans.c.owner == owner))
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
    job_id: str | None
    task: str
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
    return _briefs(s, _brief_query().where(plans.c.job_id == job_id).order_by(plans.c.created_at, plans.c.id))


def latest(s: Session, *, owner: str, limit: int, before: str | None = None) -> tuple[list[PlanBrief], str | None]:
    """Page of up to ``limit`` plans of the owner, newest first, and the id before which the next page begins, if any."""
    found = _brief_query().where(plans.c.owner == owner).order_by(plans.c.id.desc()).limit(limit + 1)
    items = _briefs(s, found if before is None else found.where(plans.c.id < before))
    return items[:limit], items[limit - 1].id if len(items) > limit else None


def _brief_query() -> Select[Any]:
    plan = plans.c.plan
    sizes = [plan[name].as_integer().label(name) for name in ("width", "depth", "steps")]
    task, forced = plan["task"].as_string().label("task"), plan["forced"].as_boolean().label("forced")
    return select(plans.c.id, plans.c.job_id, task, *sizes, forced, plans.c.created_at)


def _briefs(s: Session, query: Select[Any]) -> list[PlanBrief]:
    return [
        PlanBrief(
            row.id,
            row.job_id,
            row.task,
            row.width,
            row.depth,
            row.steps,
            bool(row.forced),
            datetime.fromtimestamp(row.created_at, UTC),
        )
        for row in s.execute(query)
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
