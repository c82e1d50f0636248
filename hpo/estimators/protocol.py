"""Interface of the estimators of the hypergradient: their arguments, their result, and refusals they share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from hpo.errors import Refused
from hpo.training.problem import Draw, InnerProblem, OnStep, silent
from hpo.training.space import Space
from windtunnel.types.checks.pathwise import without_derivative
from windtunnel.types.estimators import ESTIMATORS, that_can


@dataclass(frozen=True)
class Estimate:
    """Validation loss and its hypergradient, separate for each member."""

    value: Tensor
    """Validation loss after the last inner step, nats, [members]."""
    gradient: Tensor
    """d value / d unconstrained coordinate, [members, k]."""
    cost: float
    """Gradient evaluations spent, over all members. The unit is the gradient of one training batch. A Hessian-vector
    product, or the derivative of a gradient along one tangent, counts as two; a larger batch counts in proportion to its
    size. The one evaluation on the validation split at the end of a run is not counted, because every estimator has it."""
    bounded_share: Tensor | None = None
    """Share of backward steps whose Hessian term was scaled down, [members]; None for an exact adjoint."""
    mean_scale: Tensor | None = None
    """Mean scale of the Hessian term over backward steps, [members]; None for an exact adjoint."""
    stderr: Tensor | None = None
    """Standard error of the gradient over the estimator's own random numbers, [members, k]; infinite for a single sample;
    None: the estimator is not random."""
    diverged: Tensor | None = None
    """Share of perturbed pairs left out because one of their runs did not stay finite, [members]; None: nothing is
    perturbed at random."""
    growth: Tensor | None = None
    """Logarithm of the factor by which each backward step, without a bound, would have lengthened the adjoint of the
    parameters, [T, members], by number of the update; None: no adjoint goes back step by step."""
    scales: Tensor | None = None
    """Scale in [0, 1] of the Hessian term at each backward step, [T, members]; None for an exact adjoint."""
    residual: Tensor | None = None
    """|b - A x| / |b| of the linear system after the solve, [members]; None: no system is solved."""

    def on(self, device: torch.device) -> "Estimate":
        """Estimate whose tensors are on a device, where the search compares them."""
        parts = {item.name: getattr(self, item.name) for item in fields(self)}
        placed: dict[str, Any] = {name: part.to(device) for name, part in parts.items() if isinstance(part, Tensor)}
        return replace(self, **placed)

    def of(self, members: slice) -> "Estimate":
        """Estimate of some of the members, with their share of the cost."""

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
        """Validation loss and hypergradient at unconstrained points, each member with its own draw.

        Args:
            problem: inner problem of the job.
            points: unconstrained coordinates, [members, k].
            draw: initial values, batch order and noise of the members.
            on_step: called after every inner step with the number of member-steps done.

        Raises:
            Refused: the space has a hyperparameter that this estimator cannot differentiate.
        """
        ...

    def member_steps(self, problem: InnerProblem) -> int:
        """Number of steps that ``on_step`` reports for each member."""
        ...


class ReverseMode(ABC):
    """An estimator that goes back through the whole run; a certificate checks its exact form."""

    engine: ClassVar[Literal["population", "higher"]]
    """Engine of the computation: batched populations, or the package ``higher``."""

    @abstractmethod
    def exact(self) -> Estimator:
        """Exact hypergradient by the same engine, with the same storage."""


def refuse_what_it_cannot(name: str, space: Space) -> None:
    """Refuses a space with a hyperparameter that the estimator cannot differentiate, and names the estimators that can.

    Raises:
        Refused: the estimator would answer 0 for lack of a derivative.
    """
    info = ESTIMATORS[name]
    for item in space.hyperparameters:
        if not info.can(item.name):
            able = ", ".join(that_can(item.name))
            raise Refused(
                f"estimator {name!r} cannot differentiate {item.label}: {info.why}",
                f"use an estimator that can ({able}), or leave {item.name} out of the search",
            )


def refuse_without_derivative(name: str, problem: InnerProblem) -> None:
    """Refuses an optimizer whose updates have a derivative that is not that of the run.

    Raises:
        Refused: the estimator differentiates through such updates.
    """
    found = without_derivative(name, problem.optimizer)
    if found is not None:
        raise Refused(*found)
