"""Questions that an estimator answers without being run. Imports no torch."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from hpo.estimators.facts.storage import Storage
from hpo.footprint.sizes import Sizes
from windtunnel.types.spec import JobSpec


@dataclass(frozen=True)
class EstimatorFacts(ABC):
    """Cost and memory of an estimator's hypergradient, and the words in which a result describes it.

    Each estimator is one subclass with one instance, ``FACTS``, in the module of ``hpo.estimators.facts`` that is named
    like it. The facts that clients see are in ``windtunnel.types.estimators.ESTIMATORS``.
    """

    seconds_factor: float = 1.0
    """Seconds of one gradient evaluation within a hypergradient, over those of one in a plain run of as many members."""
    plain: bool = False
    """Whether the estimator only trains. Its runs are then a plain population, and the peak of one counts as the job's."""
    engine: str = "population"
    """``population``: all seeds are one batched computation. Any other value names the library whose graph holds one seed
    at a time."""
    fixed_adjoint: str = "none"
    """Adjoint that goes back through the updates, if the job cannot choose it; ``none``: nothing goes back through them."""
    kept: str = "none"
    """Value of ``checkpointing`` in a result, if the job cannot choose which optimizer states are kept."""

    @abstractmethod
    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:
        """Gradient evaluations of one member's hypergradient; a Hessian-vector product counts as two.

        Args:
            sizes: sizes of the job.
            limit: memory for populations, bytes.
        """

    @abstractmethod
    def bytes(self, sizes: Sizes, limit: int) -> int:
        """Peak memory of the hypergradients of one outer step, bytes.

        Args:
            sizes: sizes of the job, with one seed for each run that is differentiated at the same time.
            limit: memory for populations, bytes.
        """

    @abstractmethod
    def why(self, sizes: Sizes, limit: int) -> str:
        """Short description of the estimator in this job: its settings, its bias or what it costs.

        Args:
            sizes: sizes of the job.
            limit: memory for populations, bytes.
        """

    def reason(self, sizes: Sizes, limit: int) -> str:
        """Reason that the job has this estimator, followed by its description ``why``."""
        return f"asked for; {self.why(sizes, limit)}"

    def in_force(self, spec: JobSpec) -> str:
        """Name of the estimator that a result gives: of the one that differentiates."""
        return spec.method.estimator

    def adjoint(self, spec: JobSpec) -> str:  # noqa: ARG002
        """Adjoint in force; ``none`` if nothing goes back through the updates."""
        return self.fixed_adjoint

    def storage(self, sizes: Sizes, limit: int) -> Storage | None:  # noqa: ARG002
        """Optimizer states that are kept for the backward pass, if the job can choose them; None: it cannot."""
        return None

    def file_bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Size of the temporary file that the kept states lie in, bytes; 0 where none do.

        Args:
            sizes: sizes of the job, with one seed for each run that is differentiated at the same time.
            limit: memory for populations, bytes.
        """
        return 0
