"""Dependencies of routes: the open database, the settings, the caller, ids whose form is right."""

from typing import Annotated

from fastapi import Depends, Request

from service.caller import Caller, check_operator, identify
from service.problems.answers import problem
from service.settings import ServiceSettings
from store import identifiers, jobs
from store.database import Database
from store.errors import DatasetNotFound, JobNotFound, KeyNotFound, LawFitNotFound, PlanNotFound, WebhookNotFound
from windtunnel.types import is_dataset


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _settings(request: Request) -> ServiceSettings:
    settings: ServiceSettings = request.app.state.settings
    return settings


DatabaseDependency = Annotated[Database, Depends(_database)]
SettingsDependency = Annotated[ServiceSettings, Depends(_settings)]


def _caller(request: Request, database: DatabaseDependency) -> Caller:
    caller = identify(request, database)
    seconds = request.app.state.rates.wait(caller.owner)
    if seconds:
        most = request.app.state.settings.requests_per_minute
        detail = f"you sent more than {most:,} requests within a minute; send this one again in {seconds} s"
        refusal = problem(429, "rate-limited", "Too many requests", detail)
        refusal.headers = {"retry-after": str(seconds)}
        raise refusal
    return caller


CallerDependency = Annotated[Caller, Depends(_caller)]


def _operator(caller: CallerDependency) -> Caller:
    check_operator(caller)
    return caller


OperatorDependency = Annotated[Caller, Depends(_operator)]


def _job_id(job_id: str) -> str:
    # What has another form is in no database, and may hold bytes that a database refuses to be asked for.
    if not identifiers.JOB_ID.fullmatch(job_id):
        raise JobNotFound(job_id)
    return job_id


JobId = Annotated[str, Depends(_job_id)]
"""Id of a job in a path. Only its form is checked here, as of every id in this file; the store checks the owner."""


def _own_job_id(job_id: JobId, database: DatabaseDependency, caller: CallerDependency) -> str:
    with database.snapshot() as session:
        jobs.check(session, job_id, owner=caller.owner)
    return job_id


OwnJobId = Annotated[str, Depends(_own_job_id)]
"""Id of a job of the caller in the path of a write with a body: a stranger's is not there, whatever the body says."""


def _plan_id(plan_id: str) -> str:
    if not identifiers.PLAN_ID.fullmatch(plan_id):
        raise PlanNotFound(plan_id)
    return plan_id


def _key_id(key_id: str) -> str:
    if not identifiers.KEY_ID.fullmatch(key_id):
        raise KeyNotFound(key_id)
    return key_id


def _dataset_id(dataset_id: str) -> str:
    if not is_dataset(dataset_id):
        raise DatasetNotFound(dataset_id)
    return dataset_id


def _law_fit_id(fit_id: str) -> str:
    if not identifiers.LAW_FIT_ID.fullmatch(fit_id):
        raise LawFitNotFound(fit_id)
    return fit_id


def _webhook_id(webhook_id: str) -> str:
    if not identifiers.WEBHOOK_ID.fullmatch(webhook_id):
        raise WebhookNotFound(webhook_id)
    return webhook_id


PlanId = Annotated[str, Depends(_plan_id)]
"""Id of a transfer plan in a path."""
DatasetId = Annotated[str, Depends(_dataset_id)]
"""Id of a data set in a path."""
LawFitId = Annotated[str, Depends(_law_fit_id)]
"""Id of a scaling-law fit in a path."""
KeyId = Annotated[str, Depends(_key_id)]
"""Id of an API key in a path."""
WebhookId = Annotated[str, Depends(_webhook_id)]
"""Id of a webhook in a path."""

SIGNED_IN = [Depends(_caller)]
"""Dependencies of a router whose routes refuse a request without a key, where the server has keys."""
