"""Data sets by name: real data that installed packages ship, with a fixed split into three parts."""

from hpo.tasks.registry import TaskData, data_of, load
from hpo.tasks.split import Split

__all__ = ["Split", "TaskData", "data_of", "load"]
