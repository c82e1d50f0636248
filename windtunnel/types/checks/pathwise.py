"""Which estimators have no derivative to go by under an optimizer."""

from windtunnel.types.base import misfit
from windtunnel.types.estimators import ESTIMATORS
from windtunnel.types.method import MethodSpec
from windtunnel.types.optimizers import OptimizerInfo


def without_derivative(estimator: str, optimizer: OptimizerInfo) -> tuple[str, str] | None:
    """Why an estimator cannot tune under an optimizer, and what to do; None where it can.

    An optimizer whose updates hide what a hyperparameter does (``OptimizerInfo.pathwise``) gives wrong numbers to every
    estimator that differentiates through the updates.
    """
    if not (optimizer.pathwise and ESTIMATORS[estimator].through_updates):
        return None
    able = ", ".join(info.name for info in ESTIMATORS.values() if not info.through_updates)
    return (
        f"estimator {estimator!r} differentiates through the updates of optimizer {optimizer.name!r}: {optimizer.pathwise}",
        f"use an estimator that does not ({able})",
    )


def check_that_updates_have_derivatives(method: MethodSpec, optimizer: OptimizerInfo) -> None:
    """Raise on an estimator that differentiates through updates which hide what a hyperparameter does."""
    found = without_derivative(method.estimator, optimizer)
    if found is not None:
        raise misfit("/method", "; ".join(found), method.estimator)
