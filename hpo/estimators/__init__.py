"""Estimators of the hypergradient: one file each, one protocol."""

from hpo.estimators.best_response import BestResponse
from hpo.estimators.es import EvolutionStrategies
from hpo.estimators.finite_difference import FiniteDifference
from hpo.estimators.forward import Forward
from hpo.estimators.greedy import Greedy
from hpo.estimators.implicit import Implicit
from hpo.estimators.pes import PersistentEvolutionStrategies
from hpo.estimators.protocol import Estimate, Estimator
from hpo.estimators.reverse import Reverse
from hpo.estimators.truncated import Truncated
from hpo.estimators.unrolled import Unrolled

__all__ = [
    "BestResponse",
    "Estimate",
    "Estimator",
    "EvolutionStrategies",
    "FiniteDifference",
    "Forward",
    "Greedy",
    "Implicit",
    "PersistentEvolutionStrategies",
    "Reverse",
    "Truncated",
    "Unrolled",
]
