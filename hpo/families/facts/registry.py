"""Finds the facts of a family by its name. Imports no torch."""

from hpo.families.facts.family import FamilyFacts, Footprint
from hpo.kinds import answering
from windtunnel.types.families import learners as known
from windtunnel.types.model import ModelSpec
from windtunnel.types.results import TensorFacts
from windtunnel.types.tasks import TaskInfo


def facts(family: str) -> FamilyFacts:
    """The facts of a family.

    Raises:
        Refused: no module of ``hpo.families.facts`` answers for it.
    """
    return answering("hpo.families.facts", family, "FACTS", FamilyFacts)  # type: ignore[type-abstract]


def proxy_tensors(model: ModelSpec, task: TaskInfo) -> list[TensorFacts]:
    """Tensors of a model with their muP roles, in the order of its module's ``named_parameters``.

    Raises:
        ValueError: a size that the family does not have, or a task that it cannot learn.
    """
    return facts(model.family).tensors(model, task)


def footprint(model: ModelSpec, task: TaskInfo) -> Footprint:
    """Numbers of one example and one member in one forward pass of a model."""
    return facts(model.family).footprint(model, task)


def learners(kind: str, image: tuple[int, int, int] | None) -> tuple[str, ...]:
    """Names of the families that learn tasks of that kind with examples of that shape; the default first.

    Args:
        kind: of the task.
        image: (channels, height, width) of an example; None where examples are no images.
    """
    return tuple(name for name in known(kind, images=image is not None) if facts(name).reads(image))
