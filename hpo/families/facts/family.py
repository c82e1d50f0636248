"""The questions that a family of models answers without being built. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from windtunnel.types.model import ModelSpec
from windtunnel.types.results import Role, TensorFacts
from windtunnel.types.tasks import TaskInfo


@dataclass(frozen=True)
class Footprint:
    """Numbers of one example and one member in one forward pass."""

    saved: int
    """Floats that a training pass keeps for its backward pass."""
    live: int
    """Most floats alive at once where no graph is kept."""
    multiply_adds: int


@dataclass(frozen=True)
class Measured:
    """Factors measured on a CPU, where arithmetic alone does not say what a step takes."""

    gradient: float
    """Floats alive in a training step, over those that its forward pass keeps."""
    slope: float
    """Floats alive in the gradient of the validation loss, over those that its forward pass keeps."""
    calls: tuple[int, int]
    """Small operations of a step: of the whole model, and of each layer or block."""
    efficiency: float
    """Share of the speed of large products that the family's own products reach."""
    traffic: int
    """Times that what a forward pass keeps goes through memory."""


@dataclass(frozen=True)
class CoordinateCheck:
    """Sizes of a coordinate check: wide enough for the law, cheap enough for one core."""

    batch: int
    """Examples of the one batch: fewer where an example uses every weight at each of its positions."""
    seeds: int
    """Initialisations at each width: with these, intervals of the exponents are mostly shorter than the range that
    passes."""
    smallest: int
    """Width below which a model's own fluctuations hide the law."""
    context: int | None = None
    """Tokens of an example that the check looks at; None: whole examples."""

    def positions(self, task: TaskInfo) -> int:
        """Tokens of an example that the check looks at; 1 where it looks at whole examples."""
        return 1 if self.context is None else min(self.context, task.features)

    def share(self, task: TaskInfo) -> float:
        """Share of an example that the check looks at."""
        return 1.0 if self.context is None else self.positions(task) / task.features


@dataclass(frozen=True)
class FamilyFacts(ABC):
    """A family of models: its tensors, what its passes take, and how its coordinate check is sized.

    Each family is one subclass with one instance, ``FACTS``, in the module of ``hpo.families.facts`` that is named like
    it. What the wire says of the family is in ``windtunnel.types.families.FAMILIES``.
    """

    measured: Measured
    check: CoordinateCheck

    @abstractmethod
    def tensors(self, model: ModelSpec, task: TaskInfo) -> list[TensorFacts]:
        """Tensors of the family's module with their muP roles, in the order of its ``named_parameters``.

        Raises:
            ValueError: a size that the family does not have, or a task that it cannot learn.
        """

    @abstractmethod
    def footprint(self, model: ModelSpec, task: TaskInfo) -> Footprint:
        """Numbers of one example and one member in one forward pass."""

    def reads(self, image: tuple[int, int, int] | None) -> bool:  # noqa: ARG002
        """Whether examples of that shape, (channels, height, width) or None for no images, can go in; by default all."""
        return True

    def context_products(self, model: ModelSpec, task: TaskInfo) -> int:  # noqa: ARG002
        """Multiply-adds of one of the two products over the context that attention takes, a token; 0 without attention."""
        return 0

    def members_together(self, model: ModelSpec, task: TaskInfo, batch: int) -> int | None:  # noqa: ARG002
        """Members that train faster as one computation than one after the other; None, the default: any number.

        Args:
            model: size of the proxy.
            task: what it learns.
            batch: examples of an update.
        """
        return None

    def tapes_kept(self, model: ModelSpec, task: TaskInfo, batch: int) -> int:  # noqa: ARG002
        """Steps of a segment whose tapes stay, from its replay to its backward steps; 0, the default: none.

        Only a family with derivatives by hand (``hpo.families.proxy.Proxy.passes``) has tapes.

        Args:
            model: size of the proxy.
            task: what it learns.
            batch: examples of all the members that are computed at once.
        """
        return 0

    def check_step(self, model: ModelSpec) -> int:
        """Distance of the widths that a coordinate check may take: a head must not be cut."""
        return model.width_step

    def check_work(self, model: ModelSpec, task: TaskInfo, parameters: int) -> int:  # noqa: ARG002
        """Multiply-adds of a forward pass of the coordinate check's batch; by default every weight acts at every position.

        Args:
            model: a size of the family.
            task: what it learns.
            parameters: of the model of that size.
        """
        return parameters * self.check.positions(task) * self.check.batch


def parameters(tensors: Sequence[TensorFacts]) -> int:
    """Number of parameters in those tensors."""
    return sum(prod(fact.shape) for fact in tensors)


def matrices(tensors: Sequence[TensorFacts]) -> int:
    """Number of entries in those of the tensors that are matrices or kernels."""
    return sum(prod(fact.shape) for fact in tensors if len(fact.shape) > 1)


def fact(name: str, shape: list[int], role: Role, group: str | None = None) -> TensorFacts:
    """One tensor of a family."""
    return TensorFacts(name=name, shape=shape, role=role, group=group)


def readout(classes: int, width: int) -> list[TensorFacts]:
    """Tensors of a linear readout: ``readout.weight`` [classes, width] and ``readout.bias`` [classes]."""
    return [fact("readout.weight", [classes, width], "output"), fact("readout.bias", [classes], "scalar")]


def check_sizes(subject: str, **sizes: int) -> None:
    """Raise ValueError where a size of the subject is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} of {subject} is {size}; allowed: at least 1")
