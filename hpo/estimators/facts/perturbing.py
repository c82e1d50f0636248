"""Facts shared by estimators without a derivative, which train plain populations. Imports no torch."""

from dataclasses import dataclass

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.footprint.memory import plain_bytes, plain_members
from hpo.footprint.sizes import Sizes
from windtunnel.types.method import MethodSpec


@dataclass(frozen=True)
class PerturbingFacts(EstimatorFacts):
    """Runs at perturbed points, as many at a time as in any plain population."""

    plain: bool = True

    def bytes(self, sizes: Sizes, limit: int) -> int:  # noqa: ARG002
        """Peak memory of a plain population, bytes."""
        return plain_bytes(sizes, plain_members(sizes))


def pairs_in_words(method: MethodSpec) -> str:
    """Number of antithetic pairs and their sigma, as the beginning of a sentence."""
    return f"{method.pairs} antithetic pair" + ("" if method.pairs == 1 else "s") + f", sigma {method.width:g},"
