"""Facts of truncated reverse mode. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import Memory
from hpo.footprint.sizes import Sizes


@dataclass(frozen=True)
class TruncatedFacts(EstimatorFacts):
    """A plain run, and the way back through its last steps."""

    seconds_factor: float = 1.3
    fixed_adjoint: str = "exact"

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member's hypergradient."""
        steps = sizes.spec.inner.steps
        return steps + 3 * min(sizes.spec.method.window_steps, steps)

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak of an outer step's hypergradients, bytes."""
        inner = sizes.spec.inner
        return inner.seeds * Memory(sizes).reverse(min(sizes.spec.method.window_steps, inner.steps) + 1)

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Words on the estimator in this job."""
        window, steps = sizes.spec.method.window_steps, sizes.spec.inner.steps
        if window >= steps:
            return f"a window of {window} covers all {steps} steps, so it is exact"
        return f"it goes back through the last {window} of {steps} steps, and what a hyperparameter did before is left out"


FACTS = TruncatedFacts()
