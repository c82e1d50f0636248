"""Route of the schedules: what the learning rate can do over a run."""

from fastapi import APIRouter

from service.answers import PROBLEMS
from windtunnel.types import SCHEDULES, ScheduleInfo
from windtunnel.types.base import Response
from windtunnel.types.schedules import described

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], responses=PROBLEMS)


class ScheduleList(Response):
    """Every schedule, the simplest first."""

    items: list[ScheduleInfo]


@router.get("", response_model=ScheduleList)
def list_schedules() -> ScheduleList:
    """The schedules that a job may name, with their formulas, searchable shape parameters and settings."""
    return ScheduleList(items=[described(name) for name in SCHEDULES])
