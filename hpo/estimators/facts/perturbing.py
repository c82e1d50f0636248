"""Facts that estimators without a derivative share: they train plain populations. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import plain_bytes, plain_members
from hpo.footprint.sizes import Sizes
from windtunnel.types.method import MethodSpec


@dataclass(frozen=True)
class PerturbingFacts(EstimatorFacts):
    """Runs beside the point, as many at a time as any plain population."""

    plain: bool = True

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak of an outer step's hypergradients, bytes."""
        return plain_bytes(sizes, plain_members(sizes))


def pairs_in_words(method: MethodSpec) -> str:
    """Words on the number of antithetic pairs and their distance."""
    return f"{method.pairs} antithetic pair" + ("" if method.pairs == 1 else "s") + f", sigma {method.width:g},"
