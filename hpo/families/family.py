"""The questions that a family of models answers once it is to be built and trained."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from hpo.families.proxy import Proxy
from hpo.tasks.split import Parts
from windtunnel.types import JobSpec
from windtunnel.types.model import ModelSpec
from windtunnel.types.tasks import TaskInfo


class Family(ABC):
    """A family of models that can be built.

    Each family is one subclass with one instance, ``FAMILY``, in the module of ``hpo.families`` that is named like it. What
    is known of it without building it is in the module of the same name in ``hpo.families.facts``.
    """

    @abstractmethod
    def build(self, model: ModelSpec, task: TaskInfo) -> Proxy:
        """A module of that size for the task; its own initial values mean nothing.

        Raises:
            ValueError: a size that the family does not have, or a task that it cannot learn.
        """

    def prepare(self, spec: JobSpec, parts: Parts) -> None:  # noqa: B027
        """Raise where the module of a job could not be trained, before a job is spent on it; by default nothing can fail.

        Args:
            spec: the job.
            parts: training, validation and test part of the data.

        Raises:
            InvalidData: the module or its loss is not what can be trained.
        """

    def follow(self, model: Proxy, shapes: Sequence[tuple[int, ...]], task: TaskInfo) -> None:  # noqa: B027
        """Raise where the module could not train on a device other than the CPU; by default every one can.

        Args:
            model: the module, with its buffers on the meta device.
            shapes: shape of each of its parameters.
            task: task that it learns.

        Raises:
            InvalidData: the module leaves tensors on the CPU, or reads values.
        """
