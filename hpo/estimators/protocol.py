"""The protocol of estimators: what every one takes and gives."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from hpo.errors import Refused
from hpo.training.problem import Draw, InnerProblem, OnStep, silent
from hpo.training.space import Space
from windtunnel.types.checks.pathwise import without_derivative
from windtunnel.types.estimators import ESTIMATORS, that_can


@dataclass(frozen=True)
class Estimate:
    """Validation loss and its hypergradient, for each member by itself."""

    value: Tensor
    """Validation loss after the last inner step, nats, [members]."""
    gradient: Tensor
    """d value / d unconstrained coordinate, [members, k]."""
    cost: float
    """Gradient evaluations spent, over all members: gradients of a training batch. A Hessian-vector product, or the
    derivative of a gradient along one tangent, counts as two; a larger batch in proportion to its size. The one evaluation
    on the validation split at the end of a run is not counted, for every estimator has it."""
    bounded_share: Tensor | None = None
    """Share of backward steps whose Hessian term was scaled down, [members]; None for an exact adjoint."""
    mean_scale: Tensor | None = None
    """Mean scale of the Hessian term over backward steps, [members]; None for an exact adjoint."""
    stderr: Tensor | None = None
    """Standard error of the gradient over the estimator's own random numbers, [members, k]; infinite where one sample
    tells nothing of it; None where the estimator has none."""
    diverged: Tensor | None = None
    """Share of perturbed pairs left out because a run of theirs did not stay finite, [members]; None where nothing is
    perturbed at random."""
    growth: Tensor | None = None
    """ln of the factor by which each backward step, not bounded, would have lengthened the adjoint of the parameters,
    [T, members], by number of the update; None where no adjoint goes back step by step."""
    scales: Tensor | None = None
    """Scale in [0, 1] of the Hessian term at each backward step, [T, members]; None for an exact adjoint."""
    residual: Tensor | None = None
    """|b - A x| / |b| of the linear system as it was left, [members]; None where none is solved."""

    def of(self, members: slice) -> "Estimate":
        """The estimate of some of the members, with their share of the cost."""

        def part(whole: Tensor | None) -> Tensor | None:
            return None if whole is None else whole[..., members]

        value = self.value[members]
        return replace(
            self,
            value=value,
            gradient=self.gradient[members],
            cost=self.cost * len(value) / len(self.value),
            bounded_share=part(self.bounded_share),
            mean_scale=part(self.mean_scale),
            stderr=None if self.stderr is None else self.stderr[members],
            diverged=part(self.diverged),
            growth=part(self.growth),
            scales=part(self.scales),
            residual=part(self.residual),
        )


class Estimator(Protocol):
    """Differentiates the validation loss through the training run."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Estimate at unconstrained points [members, k], one draw each.

        Raises:
            Refused: the space has a hyperparameter that this estimator cannot differentiate.
        """
        ...

    def member_steps(self, problem: InnerProblem) -> int:
        """Member-steps that ``on_step`` is told of, for each member."""
        ...


class ReverseMode(ABC):
    """An estimator that goes back through the whole run: its exact form is what a certificate checks."""

    engine: ClassVar[Literal["population", "higher"]]
    """Engine that computes it."""

    @abstractmethod
    def exact(self) -> Estimator:
        """The exact hypergradient by the same engine, with the same storage."""


def refuse_what_it_cannot(name: str, space: Space) -> None:
    """Raise ``Refused`` where an estimator would answer 0 for want of a derivative, with those that can."""
    info = ESTIMATORS[name]
    for item in space.hyperparameters:
        if not info.can(item.name):
            able = ", ".join(that_can(item.name))
            raise Refused(
                f"estimator {name!r} cannot differentiate {item.label}: {info.why}",
                f"use an estimator that can ({able}), or leave {item.name} out of the search",
            )


def refuse_without_derivative(name: str, problem: InnerProblem) -> None:
    """Raise ``Refused`` where an estimator would differentiate updates whose derivative is not that of the run."""
    found = without_derivative(name, problem.spec.optimizer.info)
    if found is not None:
        raise Refused(*found)
