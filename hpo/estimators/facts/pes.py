"""Facts of persistent evolution strategies. Imports no torch."""

import math

from hpo.estimators.facts.perturbing import PerturbingFacts, pairs_in_words
from hpo.footprint.sizes import Sizes


class PersistentFacts(PerturbingFacts):
    """The run at the point, two particles a pair, and a validation loss of each after every window but the last."""

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member's hypergradient."""
        method, inner = sizes.spec.method, sizes.spec.inner
        look = sizes.task.validation_examples / inner.batch_size
        windows = math.ceil(inner.steps / method.window_steps)
        return (1 + 2 * method.pairs) * inner.steps + 2 * method.pairs * (windows - 1) * look / 3

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Words on the estimator in this job."""
        method = sizes.spec.method
        return f"{pairs_in_words(method)} of particles a seed, perturbed anew every {method.window_steps} steps"


FACTS = PersistentFacts()
