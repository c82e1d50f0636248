"""A second opinion on the gradient from runs that were made anyway, and the two combined by inverse variance.

Runs near a point (the race's, the sampler's) are perturbations of whole runs, as evolution strategies make them on
purpose. Their regression needs no derivative of the training run, so chaos does not inflate it.
"""

import torch
from torch import Tensor

NEAR = 1.0
"""Largest coordinate of a run's distance for it to say something about the slope, in unconstrained units."""
CHAOTIC = 0.5
"""Share of bounded steps above which the pathwise gradient is no longer taken at its word."""


def regression(offsets: Tensor, rises: Tensor, noise: float, scale: float) -> tuple[Tensor, Tensor]:
    """Slope of the loss from runs around a point: Bayesian linear regression with a normal prior.

    Args:
        offsets: of the runs from the point, [n, k].
        rises: their losses less that of the point, [n].
        noise: standard deviation of a rise, nats.
        scale: standard deviation of a slope before anything was seen, nats a unit.

    Returns:
        Mean and variance of each coordinate of the slope, [k] each. A direction that no run explored has mean 0 and
        variance scale^2.
    """
    precision = offsets.T @ offsets / noise**2 + torch.eye(offsets.shape[1], dtype=offsets.dtype) / scale**2
    factor = torch.linalg.cholesky(precision)
    mean = torch.cholesky_solve((offsets.T @ rises / noise**2)[:, None], factor)[:, 0]
    return mean, torch.cholesky_inverse(factor).diagonal()


def combined(estimates: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Independent estimates of one slope combined by inverse variance, coordinate by coordinate.

    Args:
        estimates: [methods, k].
        variances: [methods, k]; infinite: no say; 0: certain, and certain ones are averaged among themselves.

    Returns:
        Mean and variance, [k] each; mean 0 and variance infinite where no estimate has a say.
    """
    certain = (variances == 0).any(dim=0)
    weights = torch.where(certain, (variances == 0).to(estimates.dtype), 1 / variances)
    total = weights.sum(dim=0)
    mean = torch.where(weights > 0, weights * estimates, 0.0).sum(dim=0) / torch.where(total > 0, total, 1.0)
    return mean, torch.where(certain, 0.0, 1 / total)


def witnessed(gradients: Tensor, offsets: Tensor, rises: Tensor, noise: float) -> Tensor:
    """Mean over standard error of the slope, squashed to t / (1 + |t|), from gradients and nearby runs together, [k].

    Args:
        gradients: hypergradients of several seeds, [members, k], members >= 2.
        offsets: of the nearby runs, [n, k], n >= 1.
        rises: [n].
        noise: standard deviation of a rise, above 0.
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
