"""Facts of central differences. Imports no torch."""

from hpo.estimators.facts.perturbing import PerturbingFacts
from hpo.footprint.sizes import Sizes


class DifferenceFacts(PerturbingFacts):
    """The run at the point, and two runs a hyperparameter."""

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member's hypergradient."""
        return (1 + 2 * sizes.coordinates) * sizes.spec.inner.steps

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Words on the estimator in this job."""
        return f"two runs a seed for each hyperparameter, sigma {sizes.spec.method.width:g} to either side"


FACTS = DifferenceFacts()
