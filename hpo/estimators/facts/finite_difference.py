"""Facts of central differences. Imports no torch."""

from hpo.estimators.facts.perturbing import PerturbingFacts
from hpo.footprint.sizes import Sizes


class DifferenceFacts(PerturbingFacts):
    """One run at the point, and two runs for each hyperparameter."""

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member: all steps of 1 + 2 * k runs."""
        return (1 + 2 * sizes.coordinates) * sizes.spec.inner.steps

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Description for a result: number of runs and sigma."""
        return f"two runs a seed for each hyperparameter, sigma {sizes.spec.method.width:g} to either side"


FACTS = DifferenceFacts()
