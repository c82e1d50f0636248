"""Persistent evolution strategies: a perturbation for every window, accumulated over the run."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.coefficients import Coefficients
from hpo.estimators.antithetic import average, perturbations
from hpo.estimators.protocol import Estimate, refuse_what_it_cannot
from hpo.estimators.runs import POPULATION, final_losses
from hpo.evaluation import diverged_to_infinity
from hpo.inner import Draw, InnerProblem, OnStep, silent


@dataclass(frozen=True)
class PersistentEvolutionStrategies:
    """Particles that get a fresh perturbation in every window and remember the sum of all they got (Vicol et al. 2021).

    The loss of window w counts with the perturbations of windows 1 ... w, all that can have caused it:
    mean over pairs of sum_w (xi_w / sigma) (l_w(+) - l_w(-)) / 2 with xi_w = eps_1 + ... + eps_w.
    What is wanted is the validation loss at the end alone. So l_w is the change of the validation loss over a window,
    L_w - L_(w-1), with L_1 itself for the first, which begins with the perturbed initial weights: the windows sum to the
    final loss. The estimate is unbiased for the gradient of that loss smoothed by an independent Gaussian of width sigma
    in every window. Summed by parts it is sum_w eps_w (L_end - L_(w-1)): the loss before a perturbation is its baseline.

    Each estimate follows the particles through a whole run at one point, so no gradient is stale.
    """

    samples: int = 16
    """Pairs of particles a member."""
    sigma: float = 0.1
    """Standard deviation of a window's perturbation in unconstrained units."""
    window: int = 20
    """Inner steps of a window; the last may be shorter."""
    population: int = POPULATION
    """Particles trained as one computation, at most; pairs stay together."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """See the protocol. The value is that of an unperturbed run, which is one run more."""
        refuse_what_it_cannot("pes", problem.space)
        members, coordinates = points.shape
        windows = -(-problem.steps // self.window)
        eps = perturbations(draw, (self.samples, windows, coordinates), points.dtype)
        value = final_losses(problem, points, range(members), draw, self.population, on_step)
        rows = [member for member in range(members) for _ in range(self.samples)]
        flat, size = eps.flatten(0, 1), max(1, self.population // 2)
        terms = []
        for start in range(0, len(rows), size):
            chunk = slice(start, start + size)
            terms.append(self._pairs(problem, points[rows[chunk]], draw.select(rows[chunk]), flat[chunk], on_step))
        gradient, stderr, diverged = average(torch.cat(terms).view(members, self.samples, coordinates))
        # Validation losses inside the run are this estimator's own; a forward pass is a third of a gradient.
        share = len(problem.data.validation) / problem.batch_size / 3
        inside = 2 * self.samples * (windows - 1) * share
        cost = members * (self.member_steps(problem) + inside)
        return Estimate(value.to(points.dtype), gradient, cost, stderr=stderr, diverged=diverged)

    def _pairs(self, problem: InnerProblem, points: Tensor, draw: Draw, eps: Tensor, on_step: OnStep) -> Tensor:
        """Each pair's estimate, [pairs, k], of points [pairs, k] and standard normal eps [pairs, windows, k]."""
        both = draw.select([*range(len(points))] * 2)
        centre, signed = points.repeat(2, 1), torch.cat([eps, -eps])
        table = self._table(problem, centre, signed[:, 0])
        with torch.no_grad():
            state = problem.initial(both, table)
        total, before = torch.zeros_like(points), points.new_zeros(len(points))
        for window in range(eps.shape[1]):
            if window:
                table = self._table(problem, centre, signed[:, window])
            start = window * self.window
            for step in range(start, min(start + self.window, problem.steps)):
                state = problem.advance(state, table, both, step, step + 1, on_step)[-1]
            with torch.no_grad():
                losses = problem.evaluate(state[0], table.loss, problem.data.validation)[0]
            losses = diverged_to_infinity(losses.to(points.dtype))
            difference = (losses[: len(points)] - losses[len(points) :]) / (2 * self.sigma)
            total += eps[:, : window + 1].sum(dim=1) * (difference - before)[:, None]
            before = difference
        return total

    def _table(self, problem: InnerProblem, centre: Tensor, eps: Tensor) -> Coefficients:
        with torch.no_grad():
            return problem.coefficients(centre + self.sigma * eps)

    def member_steps(self, problem: InnerProblem) -> int:
        """See the protocol."""
        return (1 + 2 * self.samples) * problem.steps
