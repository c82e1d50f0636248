"""``higher``: reverse mode through the whole unrolled graph, made for a job."""

from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimator
from hpo.estimators.unrolled import Unrolled
from hpo.footprint.sizes import Sizes


class HigherKind(EstimatorKind):
    """Makes full-graph reverse mode, which has no settings."""

    makes = Unrolled

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """Full-graph reverse mode."""
        return Unrolled()


ESTIMATOR = HigherKind()
