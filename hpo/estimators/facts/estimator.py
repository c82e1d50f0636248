"""The questions that an estimator answers without being run. Imports no torch."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from hpo.estimators.facts.storage import Storage
from hpo.footprint.sizes import Sizes
from windtunnel.types.spec import JobSpec


@dataclass(frozen=True)
class EstimatorFacts(ABC):
    """Facts of an estimator: what a hypergradient takes, and how a result words it.

    Each estimator is one subclass with one instance, ``FACTS``, in the module of ``hpo.estimators.facts`` that is named
    like it. What the wire says of the estimator is in ``windtunnel.types.estimators.ESTIMATORS``.
    """

    seconds_factor: float = 1.0
    """Seconds of a gradient evaluation within a hypergradient, over those of a plain one of as many members."""
    plain: bool = False
    """Whether it only trains: then its runs are a plain population, and the peak of one counts as the job's."""
    engine: str = "population"
    """``population``: the seeds are one batched computation; else the library whose graph holds one seed at a time."""
    fixed_adjoint: str = "none"
    """The adjoint that goes back through the updates, where the job has no say in it; ``none`` where nothing goes back."""
    kept: str = "none"
    """Word of a result on the states that are kept, where the job has no say in them."""

    @abstractmethod
    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:
        """Gradient evaluations of one member's hypergradient; a Hessian-vector product counts as two.

        Args:
            sizes: of the job.
            limit: memory for populations, bytes.
        """

    @abstractmethod
    def bytes(self, sizes: Sizes, limit: int) -> int:
        """Peak of the hypergradients of an outer step, bytes.

        Args:
            sizes: of the job, with one seed for each run that is differentiated at once.
            limit: memory for populations, bytes.
        """

    @abstractmethod
    def why(self, sizes: Sizes, limit: int) -> str:
        """Words on the estimator in this job, for the reason of a result."""

    def reason(self, sizes: Sizes, limit: int) -> str:
        """Why it runs, and ``why``."""
        return f"asked for; {self.why(sizes, limit)}"

    def in_force(self, spec: JobSpec) -> str:
        """Name of the estimator that a result gives: of the one that differentiates."""
        return spec.method.estimator

    def adjoint(self, spec: JobSpec) -> str:  # noqa: ARG002
        """The adjoint in force; ``none`` where nothing goes back through the updates."""
        return self.fixed_adjoint

    def storage(self, sizes: Sizes, limit: int) -> Storage | None:  # noqa: ARG002
        """Storage of the reverse pass in force; None where the job has no say in it."""
        return None
