"""Evolution strategies: antithetic Gaussian perturbations of whole runs. Without derivatives, chaos cannot inflate it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.estimators.antithetic import average, perturbations
from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimate, Estimator, refuse_what_it_cannot
from hpo.estimators.runs import POPULATION, final_losses
from hpo.footprint.sizes import Sizes
from hpo.training.problem import Draw, InnerProblem, OnStep, silent


@dataclass(frozen=True)
class EvolutionStrategies:
    """Mean over pairs of eps (L(x + sigma eps) - L(x - sigma eps)) / (2 sigma), eps standard normal.

    Unbiased for the gradient of the loss smoothed by a Gaussian of width sigma (Salimans et al. 2017; Nesterov & Spokoiny
    2017). All runs around a member's point share that member's draw, so only the hyperparameters differ between them.
    """

    samples: int = 16
    """Pairs of runs for each member."""
    sigma: float = 0.1
    """Standard deviation of the perturbation in unconstrained units."""
    population: int = POPULATION
    """Most runs trained as one computation."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss of unperturbed runs [members], and the gradient [members, k] with its standard error.

        Raises:
            Refused: the space has a hyperparameter that the estimator cannot differentiate.
        """
        refuse_what_it_cannot("es", problem.space)
        members = len(points)
        eps = perturbations(draw, (self.samples, points.shape[1]), points)
        moves = self.sigma * torch.stack([eps, -eps], dim=2).flatten(1, 2)
        moves = torch.cat([torch.zeros_like(moves[:, :1]), moves], dim=1)
        rows = [member for member in range(members) for _ in range(moves.shape[1])]
        places = (points[:, None] + moves).flatten(0, 1)
        losses = final_losses(problem, places, rows, draw, self.population, on_step).to(points).view(members, -1)
        pairs = losses[:, 1:].view(members, self.samples, 2)
        slopes = (pairs[..., 0] - pairs[..., 1]) / (2 * self.sigma)
        gradient, stderr, diverged = average(eps * slopes[..., None])
        cost = float(members * self.member_steps(problem))
        return Estimate(losses[:, 0], gradient, cost, stderr=stderr, diverged=diverged)

    def member_steps(self, problem: InnerProblem) -> int:
        """Steps of one member's runs: one at the point, and two for each pair."""
        return (1 + 2 * self.samples) * problem.steps


class EvolutionKind(EstimatorKind):
    """Makes evolution strategies with the job's settings."""

    makes = EvolutionStrategies

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """Evolution strategies with the job's number of pairs and sigma."""
        method = sizes.spec.method
        return EvolutionStrategies(method.pairs, method.width, population)


ESTIMATOR = EvolutionKind()
