"""Facts of ``auto``: reverse mode over a few seeds, beside a sampler. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.reverse import ReverseFacts
from hpo.footprint.budget import GRADIENT_SEEDS
from hpo.footprint.sizes import Sizes


@dataclass(frozen=True)
class AutoFacts(ReverseFacts):
    """Reverse mode whenever a gradient is taken, over at most ``GRADIENT_SEEDS`` seeds."""

    differentiates: str = "reverse"
    asked: str = "chosen by auto: every hyperparameter of the space is continuous"

    def members(self, sizes: Sizes) -> int:
        """Seeds that one outer step differentiates: those of the job, at most ``GRADIENT_SEEDS``."""
        return min(sizes.spec.inner.seeds, GRADIENT_SEEDS)


FACTS = AutoFacts()
