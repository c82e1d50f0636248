"""Finds the family that a model is built by, by its name."""

from hpo.families.family import Family
from hpo.families.proxy import Proxy
from hpo.kinds import answering
from windtunnel.types.model import ModelSpec
from windtunnel.types.tasks import TaskInfo


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        Refused: no module of ``hpo.families`` answers for it.
    """
    return answering("hpo.families", name, "FAMILY", Family)  # type: ignore[type-abstract]


def build(model: ModelSpec, task: TaskInfo) -> Proxy:
    """A module of that family and size for the task; its own initial values mean nothing.

    Raises:
        Refused: nothing answers for the family.
        ValueError: a size that the family does not have, or a task that it cannot learn.
    """
    return family(model.family).build(model, task)
