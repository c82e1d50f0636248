"""Finds the facts of an estimator by its name. Imports no torch."""

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.estimators.facts.response import ResponseFacts
from hpo.kinds import answering


def facts(estimator: str) -> EstimatorFacts:
    """The facts of an estimator.

    Raises:
        Refused: no module of ``hpo.estimators.facts`` answers for it.
    """
    return answering("hpo.estimators.facts", estimator, "FACTS", EstimatorFacts)  # type: ignore[type-abstract]


def response_facts(estimator: str) -> ResponseFacts:
    """The facts of a best response.

    Raises:
        Refused: no module of ``hpo.estimators.facts`` answers for it, or it is no best response.
    """
    return answering("hpo.estimators.facts", estimator, "FACTS", ResponseFacts)
