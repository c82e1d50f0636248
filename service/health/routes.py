"""Routes for the operation of the server: whether it is alive, and whether it is ready."""

import shutil

from fastapi import APIRouter, Request
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError

from service.dependencies import DatabaseDependency, SettingsDependency
from service.problems.answers import PROBLEMS, problem
from service.settings import ServiceSettings
from store import schema
from store.database import Database
from windtunnel.types.base import Response

router = APIRouter(tags=["health"], responses=PROBLEMS)


class Health(Response):
    """Alive, or ready with what was looked at."""

    status: str
    checks: dict[str, str] = Field(default_factory=dict)


@router.get("/healthz", response_model=Health)
def alive() -> Health:
    """The server answers."""
    return Health(status="alive")


@router.get("/readyz", response_model=Health)
def ready(request: Request, database: DatabaseDependency, settings: SettingsDependency) -> Health:
    """Jobs can be taken and run: the database answers with this version's schema, there is room, the dispatcher lives."""
    checks = {"database": _database(database), "disk": _disk(settings)}
    dispatcher = request.app.state.dispatcher
    if dispatcher is not None:
        checks["dispatcher"] = "ok" if dispatcher.alive else "stopped; restart the server"
    wrong = [f"{name}: {state}" for name, state in checks.items() if state != "ok"]
    if wrong:
        raise problem(503, "not-ready", "The server is not ready", "; ".join(wrong))
    return Health(status="ready", checks=checks)


def _disk(settings: ServiceSettings) -> str:
    place = next(each for each in (settings.data_dir.absolute(), *settings.data_dir.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free >= settings.least_free_bytes:
        return "ok"
    return f"{free:,} bytes are left for the data folder, fewer than {settings.least_free_bytes:,}; make room"


def _database(database: Database) -> str:
    try:
        current = schema.is_current(database)
    except SQLAlchemyError as error:
        return f"does not answer ({type(error).__name__})"
    return "ok" if current else "its schema is not this version's; restart `windtunnel serve`, which upgrades it"
