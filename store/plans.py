"""Transfer plans: written once, read by id or by job."""

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from store import datasets
from store.dialect import now
from store.errors import JobNotFound, PlanNotFound
from store.tables import jobs, plans
from windtunnel.types import TransferPlan


def save(s: Session, plan: TransferPlan, *, owner: str) -> None:
    """Keep a plan of the owner's job under its own id.

    Raises:
        JobNotFound: the owner has no such job.
    """
    _check_job(s, plan.job_id, owner)
    insert_plan(s, plan)


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


def _check_job(s: Session, job_id: str, owner: str) -> None:
    if s.scalar(select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.owner == owner)) is None:
        raise JobNotFound(job_id)
