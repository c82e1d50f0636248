"""Tasks: built-in tasks, tasks of installed packages, and the class that such a package uses. Imports no torch."""

from windtunnel.tasks.catalogue import GROUP, TASKS, Catalogue
from windtunnel.tasks.user import UserTask, UserTaskInfo, user_task
from windtunnel.types.tasks import UnknownTask

__all__ = ["GROUP", "TASKS", "Catalogue", "UnknownTask", "UserTask", "UserTaskInfo", "user_task"]
