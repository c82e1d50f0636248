"""Finds the facts of an estimator by its name. Imports no torch."""

from hpo.estimators.facts.estimator import EstimatorFacts
from hpo.estimators.facts.response import ResponseFacts
from hpo.kinds import answering


def facts(estimator: str) -> EstimatorFacts:
    """Facts of the estimator of that name.

    Raises:
        Refused: no module of ``hpo.estimators.facts`` has that name.
    """
    return answering("hpo.estimators.facts", estimator, "FACTS", EstimatorFacts)  # type: ignore[type-abstract]


def response_facts(estimator: str) -> ResponseFacts:
    """Facts of the best response of that name.

    Raises:
        Refused: no module of ``hpo.estimators.facts`` has that name, or the estimator is no best response.
    """
    return answering("hpo.estimators.facts", estimator, "FACTS", ResponseFacts)
