"""Persistent evolution strategies: a fresh perturbation in every window of a run, and the sum of all of them so far."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.estimators.antithetic import average, perturbations
from hpo.estimators.kind import EstimatorKind
from hpo.estimators.protocol import Estimate, Estimator, refuse_what_it_cannot
from hpo.estimators.runs import POPULATION, final_losses
from hpo.footprint.sizes import Sizes
from hpo.training.coefficients import Coefficients
from hpo.training.evaluation import diverged_to_infinity
from hpo.training.problem import Draw, InnerProblem, OnStep, silent


@dataclass(frozen=True)
class PersistentEvolutionStrategies:
    """Particles that get a fresh perturbation in every window and remember the sum of all so far (Vicol et al. 2021).

    A loss l_w of window w counts with the perturbations of windows 1 ... w, all that can have caused it:
    sum_w (xi_w / sigma) (l_w(+) - l_w(-)) / 2 with xi_w = eps_1 + ... + eps_w, averaged over antithetic pairs.
    The wanted loss is the validation loss at the end, so l_w is its change over the window, L_w - L_(w-1), and L_1 itself
    for the first window, which begins with the perturbed initial weights: the windows sum to the final loss. Summed by
    parts that is sum_w eps_w (D_end - D_(w-1)) with D_w = (L_w(+) - L_w(-)) / (2 sigma): the state before a perturbation
    acts serves as its baseline. A baseline is independent of that perturbation, so any factor on it leaves the estimate
    unbiased for the gradient of the final loss smoothed by an independent Gaussian of width sigma in every window. The
    factor is the regression of D_end on D_(w-1) over the member's other pairs (1 if there is no other pair).

    Each estimate follows the particles through a whole run at one point, so no gradient is stale.
    """

    samples: int = 16
    """Pairs of particles for each member."""
    sigma: float = 0.1
    """Standard deviation of a window's perturbation in unconstrained units."""
    window: int = 20
    """Inner steps of a window; the last may be shorter."""
    population: int = POPULATION
    """Most particles trained as one computation; the two of a pair stay together."""

    def estimate(self, problem: InnerProblem, points: Tensor, draw: Draw, on_step: OnStep = silent) -> Estimate:
        """Validation loss of unperturbed runs [members], and the gradient [members, k] with its standard error.

        Raises:
            Refused: the space has a hyperparameter that the estimator cannot differentiate.
        """
        refuse_what_it_cannot("pes", problem.space)
        members, coordinates = points.shape
        windows = -(-problem.steps // self.window)
        eps = perturbations(draw, (self.samples, windows, coordinates), points)
        value = final_losses(problem, points, range(members), draw, self.population, on_step)
        rows = [member for member in range(members) for _ in range(self.samples)]
        flat, size = eps.flatten(0, 1), max(1, self.population // 2)
        found = []
        for start in range(0, len(rows), size):
            chunk = slice(start, start + size)
            found.append(self._differences(problem, points[rows[chunk]], draw.select(rows[chunk]), flat[chunk], on_step))
        weights = less_baseline(torch.cat(found).view(members, self.samples, windows))
        gradient, stderr, diverged = average((eps * weights[..., None]).sum(dim=2))
        # Validation losses inside the run are this estimator's own; a forward pass is a third of a gradient.
        share = problem.validation_batches / 3
        inside = 2 * self.samples * (windows - 1) * share
        cost = members * (self.member_steps(problem) + inside)
        return Estimate(value.to(points), gradient, cost, stderr=stderr, diverged=diverged)

    def _differences(self, problem: InnerProblem, points: Tensor, draw: Draw, eps: Tensor, on_step: OnStep) -> Tensor:
        """D at the end of every window, [pairs, windows], of pairs at points [pairs, k] with eps [pairs, windows, k]."""
        both = draw.select([*range(len(points))] * 2)
        centre, signed = points.repeat(2, 1), torch.cat([eps, -eps])
        table = self._table(problem, centre, signed[:, 0])
        with torch.no_grad():
            state = problem.initial(both, table)
        found = []
        for window in range(eps.shape[1]):
            if window:
                table = self._table(problem, centre, signed[:, window])
            start = window * self.window
            stop = min(start + self.window, problem.steps)
            state = problem.reach(state, table, both, start, stop, on_step)
            with torch.no_grad():
                losses = problem.validation_loss(state[0], table.loss, both)
            losses = diverged_to_infinity(losses.to(points), problem.ceiling)
            found.append((losses[: len(points)] - losses[len(points) :]) / (2 * self.sigma))
        return torch.stack(found, dim=1)

    def _table(self, problem: InnerProblem, centre: Tensor, eps: Tensor) -> Coefficients:
        with torch.no_grad():
            return problem.coefficients(centre + self.sigma * eps)

    def member_steps(self, problem: InnerProblem) -> int:
        """Steps of one member's runs: one at the point, and two particles for each pair."""
        return (1 + 2 * self.samples) * problem.steps


def less_baseline(differences: Tensor) -> Tensor:
    """D_end - factor_w D_(w-1) for every window, [members, samples, windows], the shape of the differences D; D_0 is 0.

    The factor of a pair comes from the other pairs of its member: sum D_end D_(w-1) / sum D_(w-1)^2. A pair with an
    infinite or undefined D has no part in it, and its own result is NaN.
    """
    sound = differences.isfinite().all(dim=2, keepdim=True)
    end = differences[..., -1:]
    before = torch.cat([torch.zeros_like(end), differences[..., :-1]], dim=2)
    products = torch.where(sound, end * before, 0.0)
    squares = torch.where(sound, before.square(), 0.0)
    among_others = [part.sum(dim=1, keepdim=True) - part for part in (products, squares)]
    known = among_others[1] > 0
    factor = torch.where(known, among_others[0] / torch.where(known, among_others[1], 1.0), 1.0)
    return torch.where(sound, end - factor * before, torch.nan)


class PersistentKind(EstimatorKind):
    """Makes persistent evolution strategies with the job's settings."""

    makes = PersistentEvolutionStrategies

    def made(self, sizes: Sizes, limit: int, population: int) -> Estimator:  # noqa: ARG002
        """Persistent evolution strategies with the job's number of pairs, sigma and window."""
        method = sizes.spec.method
        return PersistentEvolutionStrategies(method.pairs, method.width, method.window_steps, population)


ESTIMATOR = PersistentKind()
