"""Facts of one-step lookahead. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import Memory
from hpo.footprint.sizes import Sizes


@dataclass(frozen=True)
class GreedyFacts(EstimatorFacts):
    """A step, a look at a validation batch and a curvature product, at every step."""

    seconds_factor: float = 1.5
    fixed_adjoint: str = "exact"

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member's hypergradient."""
        inner = sizes.spec.inner
        return inner.steps * (3 + min(1.0, sizes.task.validation_examples / inner.batch_size))

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak of an outer step's hypergradients, bytes."""
        memory = Memory(sizes)
        return sizes.spec.inner.seeds * (memory.reverse(2) + sizes.coordinates * memory.parameters // 2)

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Words on the estimator in this job."""
        return "it judges each step by the validation loss right after it, so what helps only later does not count"


FACTS = GreedyFacts()
