"""Routes of what a job may name: tasks, estimators, hyperparameters, schedules."""

from fastapi import APIRouter

from service.problems.answers import PROBLEMS
from windtunnel.tasks import TASKS
from windtunnel.types import SCHEDULES, ScheduleInfo, TaskInfo
from windtunnel.types.base import Response
from windtunnel.types.listings import (
    EstimatorListing,
    HyperparameterListing,
    listed_estimators,
    listed_hyperparameters,
)
from windtunnel.types.schedules import described

router = APIRouter(prefix="/v1", responses=PROBLEMS)


class TaskList(Response):
    """Every task, by name."""

    items: list[TaskInfo]


class EstimatorList(Response):
    """Every estimator, the default first."""

    items: list[EstimatorListing]


class HyperparameterList(Response):
    """Every hyperparameter."""

    items: list[HyperparameterListing]


class ScheduleList(Response):
    """Every schedule, the simplest first."""

    items: list[ScheduleInfo]


@router.get("/tasks", tags=["tasks"], response_model=TaskList)
def list_tasks() -> TaskList:
    """The tasks that a job may name."""
    return TaskList(items=[TASKS[name] for name in sorted(TASKS)])


@router.get("/estimators", tags=["estimators"], response_model=EstimatorList)
def list_estimators() -> EstimatorList:
    """The estimators that `method.estimator` may name: cost, bias, settings, what each can differentiate, and why not."""
    return EstimatorList(items=listed_estimators())


@router.get("/hyperparameters", tags=["estimators"], response_model=HyperparameterList)
def list_hyperparameters() -> HyperparameterList:
    """The hyperparameters that `search` may name: ranges, scopes, coordinate of the search, and estimators for each."""
    return HyperparameterList(items=listed_hyperparameters())


@router.get("/schedules", tags=["schedules"], response_model=ScheduleList)
def list_schedules() -> ScheduleList:
    """The schedules that a job may name, with their formulas, searchable shape parameters and settings."""
    return ScheduleList(items=[described(name) for name in SCHEDULES])
