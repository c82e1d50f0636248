"""What every estimator of the hypergradient takes and gives."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from hpo.inner import Draw, InnerProblem, OnStep, silent


@dataclass(frozen=True)
class Estimate:
    """Validation loss and its hypergradient, for each member by itself."""

    value: Tensor
    """Validation loss after the last inner step, nats, [members]."""
    gradient: Tensor
    """d value / d unconstrained coordinate, [members, k]."""
    cost: float
    """Gradient evaluations spent, over all members; a Hessian-vector product counts as two."""
    bounded_share: Tensor | None = None
    """Share of backward steps whose Hessian term was scaled down, [members]; None for an exact adjoint."""
    mean_scale: Tensor | None = None
    """Mean scale of the Hessian term over backward steps, [members]; None for an exact adjoint."""


class Estimator(Protocol):
    """Differentiates the validation loss through the training run."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Estimate at unconstrained points [members, k], one draw each."""
        ...
