"""Estimates the slope at a point by regression on nearby runs, and combines it with the gradient by inverse variance.

Runs near a point (of the races, of the sampler) exist anyway; they are perturbations of whole runs, as in evolution
strategies. Their regression needs no derivative of the training run, so chaos does not inflate it.
"""

import torch
from torch import Tensor

NEAR = 1.0
"""Largest distance of a run that enters the regression, as the largest coordinate, in unconstrained units."""
CHAOTIC = 0.5
"""Share of bounded steps above which the pathwise gradient is combined with the regression."""


def regression(offsets: Tensor, rises: Tensor, noise: float, scale: float) -> tuple[Tensor, Tensor]:
    """Slope of the loss from runs around a point: Bayesian linear regression with a normal prior.

    Args:
        offsets: offsets of the runs from the point, [n, k].
        rises: losses of the runs less the loss of the point, [n], nats.
        noise: standard deviation of a rise, nats.
        scale: prior standard deviation of each coordinate of the slope, nats per unconstrained unit.

    Returns:
        Posterior mean and variance of each coordinate of the slope, [k] each; mean 0 and variance scale^2 in a direction
        without runs.
    """
    precision = offsets.T @ offsets / noise**2 + torch.eye(offsets.shape[1], dtype=offsets.dtype) / scale**2
    factor = torch.linalg.cholesky(precision)
    mean = torch.cholesky_solve((offsets.T @ rises / noise**2)[:, None], factor)[:, 0]
    return mean, torch.cholesky_inverse(factor).diagonal()


def combined(estimates: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Independent estimates of one slope combined by inverse variance, coordinate by coordinate.

    Args:
        estimates: estimates of the slope, [methods, k].
        variances: variances of the estimates, [methods, k]. An estimate of infinite variance is ignored; estimates of
            variance 0 are averaged, and all others are then ignored.

    Returns:
        Mean and variance, [k] each; mean 0 and infinite variance where every estimate is ignored.
    """
    certain = (variances == 0).any(dim=0)
    weights = torch.where(certain, (variances == 0).to(estimates.dtype), 1 / variances)
    total = weights.sum(dim=0)
    mean = torch.where(weights > 0, weights * estimates, 0.0).sum(dim=0) / torch.where(total > 0, total, 1.0)
    return mean, torch.where(certain, 0.0, 1 / total)


def combined_confidence(gradients: Tensor, offsets: Tensor, rises: Tensor, noise: float) -> Tensor:
    """Confidence in the sign of the slope, t / (1 + |t|) with t = mean / stderr, from gradients and nearby runs, [k].

    Args:
        gradients: hypergradients of several seeds, [members, k], members >= 2.
        offsets: offsets of the nearby runs from the point, [n, k], n >= 1.
        rises: losses of the nearby runs less the loss of the point, [n], nats.
        noise: standard deviation of a rise, nats, above 0.
    """
    members = len(gradients)
    mean, variance = gradients.mean(dim=0), gradients.var(dim=0) / members
    scale = float(mean.square().mean().sqrt())
    if scale == 0.0:
        return mean
    slope, doubt = regression(offsets, rises, noise, scale)
    both, spread = combined(torch.stack([mean, slope]), torch.stack([variance, doubt]))
    total = spread.sqrt() + both.abs()
    return torch.where(total > 0, both / torch.where(total > 0, total, 1.0), 0.0)
