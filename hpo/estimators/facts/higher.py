"""Facts of reverse mode through the whole unrolled graph. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import Memory
from hpo.footprint.sizes import Sizes

GRAPH_STATE, GRAPH_SAVED = 4.5, 2.5
"""Copies of state and kept floats that every step of a full graph holds."""


@dataclass(frozen=True)
class HigherFacts(EstimatorFacts):
    """The graph of a whole run, one seed after the other."""

    seconds_factor: float = 2.5
    engine: str = "higher"
    fixed_adjoint: str = "exact"
    kept: str = "graph"

    def gradient_evaluations(self, sizes: Sizes, limit: int) -> float:  # noqa: ARG002
        """Gradient evaluations of one member's hypergradient."""
        return 3 * sizes.spec.inner.steps

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak of an outer step's hypergradients, bytes."""
        memory, inner = Memory(sizes), sizes.spec.inner
        graph = int(inner.steps * (GRAPH_STATE * memory.state + GRAPH_SAVED * memory.saved)) + memory.slope
        return graph + inner.seeds * memory.order

    def why(self, sizes: Sizes, limit: int) -> str:  # noqa: ARG002
        """Words on the estimator in this job."""
        return "it differentiates the whole unrolled graph, one seed at a time"


FACTS = HigherFacts()
