"""Finds the object that makes an estimator by the estimator's name."""

from hpo.best_response.objectives import Objectives
from hpo.estimators.best_response import ResponseKind
from hpo.estimators.kind import EstimatorKind
from hpo.kinds import answering


def estimator_kind(name: str) -> EstimatorKind:
    """The object that makes an estimator.

    Raises:
        Refused: no module of ``hpo.estimators`` answers for it.
    """
    return answering("hpo.estimators", name, "ESTIMATOR", EstimatorKind)  # type: ignore[type-abstract]


def response_objectives(name: str) -> type[Objectives]:
    """Training and validation objectives of a best response.

    Raises:
        Refused: no module of ``hpo.estimators`` answers for it, or it is no best response.
    """
    return answering("hpo.estimators", name, "ESTIMATOR", ResponseKind).objectives
