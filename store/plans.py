"""Transfer plans: written once, read by id or by job."""

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from store import datasets
from store.dialect import now
from store.errors import JobNotFound, PlanNotFound
from store.tables import jobs, plans
from windtunnel.types import TransferPlan


def save(s: Session, plan: TransferPlan) -> None:
    """Keep a plan under its own id.

    Raises:
        JobNotFound: the plan's job does not exist.
    """
    _job_exists(s, plan.job_id)
    s.execute(insert(plans).values(id=plan.id, job_id=plan.job_id, plan=plan.model_dump(mode="json"), created_at=now()))


def get(s: Session, plan_id: str) -> TransferPlan:
    """One plan.

    Raises:
        PlanNotFound: no such plan.
    """
    plan = s.scalar(select(plans.c.plan).where(plans.c.id == plan_id))
    if plan is None:
        raise PlanNotFound(plan_id)
    read = TransferPlan.model_validate(plan)
    facts = datasets.facts(s, [read.task]).get(read.task)
    return read if facts is None else read.knowing(facts)


def of_job(s: Session, job_id: str) -> list[TransferPlan]:
    """A job's plans, oldest first.

    Raises:
        JobNotFound: no such job.
    """
    _job_exists(s, job_id)
    found = select(plans.c.plan).where(plans.c.job_id == job_id).order_by(plans.c.created_at, plans.c.id)
    return [TransferPlan.model_validate(plan) for plan in s.scalars(found)]


def _job_exists(s: Session, job_id: str) -> None:
    if s.scalar(select(jobs.c.id).where(jobs.c.id == job_id)) is None:
        raise JobNotFound(job_id)
