"""Facts of evolution strategies. Imports no torch."""

from hpo.estimators.facts.perturbing import PerturbingFacts, pairs_in_words
from hpo.footprint.sizes import Sizes


class EvolutionFacts(PerturbingFacts):
    """The run at the point, and two runs a pair."""

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member's hypergradient."""
        return (1 + 2 * sizes.spec.method.pairs) * sizes.spec.inner.steps

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Words on the estimator in this job."""
        pairs = pairs_in_words(sizes.spec.method)
        return f"{pairs} of runs a seed; it differentiates nothing, so chaos does not inflate it"


FACTS = EvolutionFacts()
