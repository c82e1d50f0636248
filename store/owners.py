"""Whose is it? The one statement that every request with a job's or a plan's id goes through."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.errors import JobNotFound, LawFitNotFound, PlanNotFound, WebhookNotFound
from store.tables import jobs, law_fits, plans, webhooks

LOCAL = "local"
"""Who everybody is on a server without keys."""


def check_job(s: Session, job_id: str, owner: str) -> None:
    """Return where the job is the owner's; a job's owner never changes.

    Raises:
        JobNotFound: it is not, whether or not there is such a job.
    """
    if s.scalar(select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.owner == owner)) is None:
        raise JobNotFound(job_id)


def check_plan(s: Session, plan_id: str, owner: str) -> None:
    """Return where the plan was made from a job of the owner.

    Raises:
        PlanNotFound: it was not, whether or not there is such a plan.
    """
    of_owner = select(plans.c.id).join(jobs, jobs.c.id == plans.c.job_id)
    if s.scalar(of_owner.where(plans.c.id == plan_id, jobs.c.owner == owner)) is None:
        raise PlanNotFound(plan_id)


def check_law_fit(s: Session, fit_id: str, owner: str) -> None:
    """Return where the scaling-law fit is the owner's.

    Raises:
        LawFitNotFound: it is not, whether or not there is such a fit.
    """
    if s.scalar(select(law_fits.c.id).where(law_fits.c.id == fit_id, law_fits.c.owner == owner)) is None:
        raise LawFitNotFound(fit_id)


def check_webhook(s: Session, webhook_id: str, owner: str) -> None:
    """Return where the webhook is the owner's.

    Raises:
        WebhookNotFound: it is not, whether or not there is such a webhook.
    """
    if s.scalar(select(webhooks.c.id).where(webhooks.c.id == webhook_id, webhooks.c.owner == owner)) is None:
        raise WebhookNotFound(webhook_id)


def own_jobs(s: Session, job_ids: Sequence[str], owner: str) -> set[str]:
    """Those of the jobs that are the owner's."""
    return set(s.scalars(select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.owner == owner)))
