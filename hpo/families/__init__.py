"""Model families whose width and depth can be chosen. Weights are left to the parametrization to initialise."""

from hpo.families.mlp import MLP
from windtunnel.types import ModelSpec, TaskInfo

__all__ = ["MLP", "build"]


def build(model: ModelSpec, task: TaskInfo) -> MLP:
    """A module of that family and size for the task; its own initial values mean nothing."""
    return MLP(task.features, task.classes, model.width, model.depth, model.activation)
