"""Registry of the objects that make estimators, by the estimator's name."""

from hpo.best_response.objectives import Objectives
from hpo.estimators.best_response import ResponseKind
from hpo.estimators.kind import EstimatorKind
from hpo.kinds import answering


def estimator_kind(name: str) -> EstimatorKind:
    """Object that makes the estimator of that name.

    Raises:
        Refused: no module of ``hpo.estimators`` has that name.
    """
    return answering("hpo.estimators", name, "ESTIMATOR", EstimatorKind)  # type: ignore[type-abstract]


def response_objectives(name: str) -> type[Objectives]:
    """Training and validation objectives of the best response of that name.

    Raises:
        Refused: no module of ``hpo.estimators`` has that name, or the estimator is no best response.
    """
    return answering("hpo.estimators", name, "ESTIMATOR", ResponseKind).objectives
