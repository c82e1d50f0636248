"""Facts of ``auto``: reverse mode over a few seeds, beside a sampler. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.reverse import ReverseFacts
from hpo.estimators.facts.storage import Storage
from hpo.footprint.budget import GRADIENT_SEEDS
from hpo.footprint.sizes import Sizes
from windtunnel.types.spec import JobSpec


@dataclass(frozen=True)
class AutoFacts(ReverseFacts):
    """Reverse mode whenever a gradient is taken, over at most ``GRADIENT_SEEDS`` seeds."""

    asked: str = "chosen by auto: every hyperparameter of the space is continuous"

    def members(self, sizes: Sizes) -> int:
        """Seeds that one outer step differentiates: those of the job, at most ``GRADIENT_SEEDS``."""
        return min(sizes.spec.inner.seeds, GRADIENT_SEEDS)

    def in_force(self, spec: JobSpec) -> str:
        """Name of the estimator that differentiates."""
        return spec.method.estimator if spec.optimizer.info.pathwise else "reverse"

    def adjoint(self, spec: JobSpec) -> str:
        """The adjoint in force."""
        return self.fixed_adjoint if spec.optimizer.info.pathwise else super().adjoint(spec)

    def storage(self, sizes: Sizes, limit: int) -> Storage | None:
        """Storage of the reverse pass in force."""
        return None if sizes.spec.optimizer.info.pathwise else super().storage(sizes, limit)

    def reason(self, sizes: Sizes, limit: int) -> str:
        """Words on who chose the estimator, and why."""
        if why := sizes.spec.optimizer.info.pathwise:
            return f"chosen by auto: its sampler alone, without gradients; {why}"
        return super().reason(sizes, limit)


FACTS = AutoFacts()
