"""Sizes of a job, counted once from its spec and its task, and handed on. Imports no torch."""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, replace
from math import prod
from typing import Self

from hpo.families.facts.family import FamilyFacts, Footprint, parameters
from hpo.families.facts.registry import facts
from hpo.mup.labels import keys
from windtunnel.types.hyperparameters import REGULARISERS
from windtunnel.types.model import ModelSpec
from windtunnel.types.optimizers.muon import AT_ONCE
from windtunnel.types.results import TensorFacts
from windtunnel.types.spec import JobSpec
from windtunnel.types.tasks import TaskInfo


@dataclass(frozen=True)
class Sizes:
    """A job's spec, task and family, with the numbers counted from them. Made once, when a job comes in."""

    spec: JobSpec
    """Spec of the job."""
    task: TaskInfo
    """Task that the job learns."""
    family: FamilyFacts
    """Facts of the proxy's family."""
    tensors: tuple[TensorFacts, ...]
    """Tensors of the proxy, in the order of its module's ``named_parameters``."""
    parameters: int
    """Parameters of the proxy."""
    footprint: Footprint
    """Numbers of one forward pass of the proxy, for one example of one member."""
    state_copies: int
    """Copies of the parameters in the optimizer's state, the parameters themselves included."""
    item_coordinates: tuple[int, ...]
    """Single hyperparameters that each item of the search stands for."""

    @classmethod
    def of(cls, spec: JobSpec, task: TaskInfo) -> Self:
        """Counts the sizes of a job.

        Args:
            spec: the job.
            task: task that the job names.

        Raises:
            Refused: the model's family is unknown.
            ValueError: the family does not have such a size.
        """
        family = facts(spec.model.family)
        tensors = family.tensors(spec.model, task)
        return cls(
            spec=spec,
            task=task,
            family=family,
            tensors=tuple(tensors),
            parameters=parameters(tensors),
            footprint=family.footprint(spec.model, task),
            state_copies=spec.optimizer.info.state,
            item_coordinates=tuple(len(keys(spec, item, tensors)) for item in spec.search),
        )

    @property
    def matrices(self) -> Counter[tuple[int, int]]:
        """Number of matrices of each shape that the optimizer moves as such; empty for one that moves all tensors alike."""
        roles = self.spec.optimizer.info.matrices
        return Counter((fact.shape[0], prod(fact.shape[1:])) for fact in self.tensors if fact.role in roles)

    @property
    def update_multiply_adds(self) -> int:
        """Multiply-adds of matrix products in one update of a member."""
        each = self.spec.optimizer.info.matrix_multiply_adds
        return 0 if each is None else sum(count * each(*shape) for shape, count in self.matrices.items())

    @property
    def stacked(self) -> int:
        """Largest number of floats of one member's matrices that an update stacks."""
        found = [(prod(shape), count) for shape, count in self.matrices.items()]
        return max((min(count * size, max(size, AT_ONCE)) for size, count in found), default=0)

    @property
    def coordinates(self) -> int:
        """k: number of single hyperparameters that the search items stand for."""
        return sum(self.item_coordinates)

    @property
    def rates(self) -> int:
        """Number of searched learning rates, each a coordinate of its own."""
        return self._coordinates_of({"learning_rate"})

    @property
    def members_together(self) -> int | None:
        """Members that train faster as one computation than one after the other; None: any number."""
        return self.family.members_together(self.spec.model, self.task, self.spec.inner.at_once)

    @property
    def shift_floats(self) -> int:
        """Floats kept for shifting one example's image in a forward pass; 0 without augmentation.

        They are a matrix for each side, and the image moved along one of the sides.
        """
        image = self.task.image
        if image is None or self.spec.start_value("augmentation") is None:
            return 0
        return sum(side * side for side in image[1:]) + prod(image)

    @property
    def response_parameters(self) -> int:
        """R, parameters of a response: a row for each row of the weights, and a vector [k] for each unit and bias."""
        channels = sum(fact.shape[1 if fact.name.endswith("embedding.weight") else 0] for fact in self.tensors)
        return self.parameters + self._coordinates_of(REGULARISERS) * channels

    def with_run(self, **changes: int) -> Self:
        """Sizes of the job with other ``steps``, ``batch_size`` or ``seeds``, on which no counted number depends."""
        return replace(self, spec=self.spec.model_copy(update={"inner": self.spec.inner.model_copy(update=changes)}))

    def model_at(self, width: int) -> ModelSpec:
        """The proxy at another width."""
        return self.spec.model.model_copy(update={"width": width})

    def parameters_at(self, width: int) -> int:
        """Parameters of the proxy at another width."""
        return parameters(self.family.tensors(self.model_at(width), self.task))

    def multiply_adds_at(self, width: int) -> int:
        """Multiply-adds of one example in one forward pass of the proxy at another width."""
        return self.family.footprint(self.model_at(width), self.task).multiply_adds

    def at_width(self, width: int) -> Self:
        """Sizes of the job with a proxy of another width."""
        return type(self).of(self.spec.model_copy(update={"model": self.model_at(width)}), self.task)

    def _coordinates_of(self, names: Container[str]) -> int:
        found = zip(self.spec.search, self.item_coordinates, strict=True)
        return sum(count for item, count in found if item.name in names)
