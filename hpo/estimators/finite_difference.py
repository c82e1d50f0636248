"""Central differences, one coordinate after the other, by 2 k runs: simple enough to check the other estimators with."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimate, Estimator, refuse_what_it_cannot
from hpo.estimators.runs import POPULATION, final_losses
from hpo.footprint.sizes import Sizes
from hpo.training.problem import Draw, InnerProblem, OnStep, silent


@dataclass(frozen=True)
class FiniteDifference:
    """(L(x + sigma e_i) - L(x - sigma e_i)) / (2 sigma), both runs with the member's own draw.

    The error is sigma^2 / 6 times the third derivative, plus rounding over sigma: in float32 rounding dominates for a sigma
    below 0.001.
    """

    sigma: float = 0.01
    """Half the distance between the two runs, in unconstrained units."""
    population: int = POPULATION
    """Most runs trained as one computation."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss [members] at the points, and central differences of it, [members, k].

        Raises:
            Refused: the space has a hyperparameter that the estimator cannot differentiate.
        """
        refuse_what_it_cannot("finite_difference", problem.space)
        members, coordinates = points.shape
        offsets = self.sigma * torch.eye(coordinates, dtype=points.dtype, device=points.device)
        # The present point first, then pairs of neighbours: [members, 1 + 2 k, k].
        moves = torch.stack([offsets, -offsets], dim=1).flatten(0, 1)
        moves = torch.cat([torch.zeros_like(moves[:1]), moves])
        rows = [member for member in range(members) for _ in moves]
        places = (points[:, None] + moves).flatten(0, 1)
        losses = final_losses(problem, places, rows, draw, self.population, on_step).to(points).view(members, -1)
        pairs = losses[:, 1:].view(members, coordinates, 2)
        gradient = (pairs[..., 0] - pairs[..., 1]) / (2 * self.sigma)
        return Estimate(losses[:, 0], gradient, cost=float(members * self.member_steps(problem)))

    def member_steps(self, problem: InnerProblem) -> int:
        """Steps of one member's runs: one at the point, and two for each coordinate."""
        return (1 + 2 * len(problem.space)) * problem.steps


class DifferenceKind(EstimatorKind):
    """Makes central differences with the job's settings."""

    makes = FiniteDifference

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """Central differences with the job's sigma."""
        return FiniteDifference(sizes.spec.method.width, population)


ESTIMATOR = DifferenceKind()
