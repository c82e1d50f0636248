"""Tasks: those built in, those that installed packages bring, and what a package writes to bring one. Imports no torch."""

from windtunnel.tasks.catalogue import GROUP, TASKS, Catalogue
from windtunnel.tasks.user import UserTask, UserTaskInfo, user_task
from windtunnel.types.tasks import UnknownTask

__all__ = ["GROUP", "TASKS", "Catalogue", "UnknownTask", "UserTask", "UserTaskInfo", "user_task"]
