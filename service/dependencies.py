"""What routes ask for: the open database, the settings, ids that can exist."""

from typing import Annotated

from fastapi import Depends, Request

from service.settings import ServiceSettings
from store import identifiers
from store.database import Database
from store.errors import JobNotFound, LawFitNotFound, PlanNotFound


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _settings(request: Request) -> ServiceSettings:
    settings: ServiceSettings = request.app.state.settings
    return settings


def _job_id(job_id: str) -> str:
    # What has another form is in no database, and may hold bytes that a database refuses to be asked for.
    if not identifiers.JOB_ID.fullmatch(job_id):
        raise JobNotFound(job_id)
    return job_id


def _plan_id(plan_id: str) -> str:
    if not identifiers.PLAN_ID.fullmatch(plan_id):
        raise PlanNotFound(plan_id)
    return plan_id


def _law_fit_id(fit_id: str) -> str:
    if not identifiers.LAW_FIT_ID.fullmatch(fit_id):
        raise LawFitNotFound(fit_id)
    return fit_id


DatabaseDependency = Annotated[Database, Depends(_database)]
SettingsDependency = Annotated[ServiceSettings, Depends(_settings)]
JobId = Annotated[str, Depends(_job_id)]
PlanId = Annotated[str, Depends(_plan_id)]
LawFitId = Annotated[str, Depends(_law_fit_id)]
