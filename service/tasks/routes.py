"""Route of the tasks: what can be tuned."""

from fastapi import APIRouter

from service.answers import PROBLEMS
from windtunnel.tasks import TASKS
from windtunnel.types import TaskInfo
from windtunnel.types.base import Response

router = APIRouter(prefix="/v1/tasks", tags=["tasks"], responses=PROBLEMS)


class TaskList(Response):
    """Every task, by name."""

    items: list[TaskInfo]


@router.get("", response_model=TaskList)
def list_tasks() -> TaskList:
    """The tasks that a job may name."""
    return TaskList(items=[TASKS[name] for name in sorted(TASKS)])
