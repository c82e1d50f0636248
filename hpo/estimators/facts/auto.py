"""Facts of ``auto``: reverse mode of a few seeds, beside a sampler. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.reverse import ReverseFacts
from hpo.search.budget import GRADIENT_SEEDS
from hpo.sizing.sizes import Sizes


@dataclass(frozen=True)
class AutoFacts(ReverseFacts):
    """Reverse mode wherever a gradient is taken."""

    differentiates: str = "reverse"
    asked: str = "chosen by auto: every hyperparameter of the space is continuous"

    def members(self, sizes: Sizes) -> int:
        """See ``ReverseFacts``."""
        return min(sizes.spec.inner.seeds, GRADIENT_SEEDS)


FACTS = AutoFacts()
