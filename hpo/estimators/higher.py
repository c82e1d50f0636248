"""``higher``: reverse mode through the whole unrolled graph, made for a job."""

from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimator
from hpo.estimators.unrolled import Unrolled
from hpo.footprint.sizes import Sizes


class HigherKind(EstimatorKind):
    """Makes it: it has no settings."""

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """The estimator with the job's settings."""
        return Unrolled()


ESTIMATOR = HigherKind()
