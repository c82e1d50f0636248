"""Estimators of the hypergradient: one file each, one protocol."""

from hpo.estimators.protocol import Estimate, Estimator
from hpo.estimators.reverse import Reverse
from hpo.estimators.unrolled import Unrolled

__all__ = ["Estimate", "Estimator", "Reverse", "Unrolled"]
