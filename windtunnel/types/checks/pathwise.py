"""Check that an estimator can differentiate through the updates of an optimizer."""

from windtunnel.types.base import misfit
from windtunnel.types.estimators import ESTIMATORS
from windtunnel.types.method import MethodSpec
from windtunnel.types.optimizers import OptimizerInfo


def without_derivative(estimator: str, optimizer: OptimizerInfo) -> tuple[str, str] | None:
    """(reason why an estimator cannot tune under an optimizer, what to do instead); None where it can.

    Every estimator that differentiates through the updates would give wrong numbers under an optimizer whose updates hide
    the effect of a hyperparameter (``OptimizerInfo.pathwise``).
    """
    if not (optimizer.pathwise and ESTIMATORS[estimator].through_updates):
        return None
    able = ", ".join(info.name for info in ESTIMATORS.values() if not info.through_updates)
    return (
        f"estimator {estimator!r} differentiates through the updates of optimizer {optimizer.name!r}: {optimizer.pathwise}",
        f"use an estimator that does not ({able})",
    )


def check_that_updates_have_derivatives(method: MethodSpec, optimizer: OptimizerInfo) -> None:
    """Refuse an estimator that differentiates through updates which hide the effect of a hyperparameter."""
    found = without_derivative(method.estimator, optimizer)
    if found is not None:
        raise misfit("/method", "; ".join(found), method.estimator)
