"""What routes ask for: the open database, the settings, who asks, ids of what is theirs."""

from typing import Annotated

from fastapi import Depends, Request

from service.caller import Caller, identify
from service.problems.answers import problem
from service.settings import ServiceSettings
from store import identifiers, owners
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


def _owner(caller: CallerDependency) -> str:
    """Whose jobs a request is about."""
    return caller.owner


def _operator(caller: CallerDependency) -> Caller:
    if not caller.operator:
        detail = "this is about the whole fleet; it needs a key that `windtunnel keys create --operator` made"
        raise problem(403, "operators-only", "Only operators may do this", detail)
    return caller


OwnerDependency = Annotated[str, Depends(_owner)]
OperatorDependency = Annotated[Caller, Depends(_operator)]


def _job_id(job_id: str, database: DatabaseDependency, owner: OwnerDependency) -> str:
    # What has another form is in no database, and may hold bytes that a database refuses to be asked for.
    if not identifiers.JOB_ID.fullmatch(job_id):
        raise JobNotFound(job_id)
    with database.snapshot() as session:
        owners.check_job(session, job_id, owner)
    return job_id


def _plan_id(plan_id: str, database: DatabaseDependency, owner: OwnerDependency) -> str:
    if not identifiers.PLAN_ID.fullmatch(plan_id):
        raise PlanNotFound(plan_id)
    with database.snapshot() as session:
        owners.check_plan(session, plan_id, owner)
    return plan_id


def _key_id(key_id: str) -> str:
    if not identifiers.KEY_ID.fullmatch(key_id):
        raise KeyNotFound(key_id)
    return key_id


def _dataset_id(dataset_id: str) -> str:
    if not is_dataset(dataset_id):
        raise DatasetNotFound(dataset_id)
    return dataset_id


def _law_fit_id(fit_id: str, database: DatabaseDependency, owner: OwnerDependency) -> str:
    if not identifiers.LAW_FIT_ID.fullmatch(fit_id):
        raise LawFitNotFound(fit_id)
    with database.snapshot() as session:
        owners.check_law_fit(session, fit_id, owner)
    return fit_id


def _webhook_id(webhook_id: str, database: DatabaseDependency, owner: OwnerDependency) -> str:
    if not identifiers.WEBHOOK_ID.fullmatch(webhook_id):
        raise WebhookNotFound(webhook_id)
    with database.snapshot() as session:
        owners.check_webhook(session, webhook_id, owner)
    return webhook_id


DatasetId = Annotated[str, Depends(_dataset_id)]
"""The form of one; whose it is the store asks."""
LawFitId = Annotated[str, Depends(_law_fit_id)]
"""Of a scaling-law fit of who asks."""
JobId = Annotated[str, Depends(_job_id)]
"""Of a job of who asks; a stranger's is 404, on every route."""
PlanId = Annotated[str, Depends(_plan_id)]
"""Of a plan of who asks."""
KeyId = Annotated[str, Depends(_key_id)]
WebhookId = Annotated[str, Depends(_webhook_id)]
"""Of a webhook of who asks."""

SIGNED_IN = [Depends(_caller)]
"""Dependencies of a router whose routes answer nobody without a key, where the server has keys."""
