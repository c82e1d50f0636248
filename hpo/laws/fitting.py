"""Fits a form robustly in logarithms: minimises the Huber loss summed over rows, from many starts at once."""

from dataclasses import dataclass

import numpy as np

from hpo.laws.forms import Array, Form

LEAST_DELTA = 1e-3
"""Least delta of the Huber loss, and the delta of Hoffmann et al."""
FIRST_DELTA = 0.1
EFFICIENT = 1.345
"""Delta in scales of the residuals: 95 % of the efficiency of least squares on Gaussian noise (Huber 1981)."""
GAUSSIAN = 1.4826
"""Standard deviation of Gaussian noise over its median absolute deviation."""
ITERATIONS = 200
SCREENING_ROWS = 400
"""Number of rows, evenly spread over the table, that starts are tried on at most."""
REFINED = 3


@dataclass(frozen=True)
class Solution:
    """Minima of a batch of problems that share x."""

    theta: Array
    """Coordinates of the minima, [batch, p]."""
    cost: Array
    """Sums of Huber losses, [batch]."""
    converged: Array
    """Convergence of each problem, boolean, [batch]."""


def huber(residual: Array, delta: float) -> Array:
    """Huber loss of each residual, same shape: r^2 / 2 up to delta, delta (|r| - delta / 2) beyond."""
    size = np.abs(residual)
    return np.asarray(np.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta)), dtype=np.float64)


def minimise(
    form: Form, x: Array, y: Array, theta: Array, delta: float, *, iterations: int = ITERATIONS, tolerance: float = 1e-12
) -> Solution:
    """Minima of a batch of problems, by Levenberg-Marquardt with Huber weights, all iterated together.

    Args:
        form: the law.
        x: centred logarithms, [inputs, rows].
        y: logarithms of the target, [batch, rows] or [rows].
        theta: coordinates to begin at, [batch, p].
        delta: delta of the Huber loss.
        iterations: number of steps at most.
        tolerance: a problem ends with a step that lowers its cost by less than this share.
    """
    y = np.broadcast_to(y, (len(theta), x.shape[1]))
    theta, live = theta.copy(), np.arange(len(theta))
    value, derivative = form.value(theta, x)
    cost = _cost(y - value, delta)
    damping = np.full(len(theta), 1e-3)
    converged = np.zeros(len(theta), dtype=bool)
    size = theta.shape[1]
    for _ in range(iterations):
        if len(live) == 0:
            break
        residual = y[live] - value
        weight = np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
        weighted = derivative * weight[:, :, None]
        curvature = weighted.transpose(0, 2, 1) @ derivative
        slope = np.einsum("brp,br->bp", weighted, residual)
        diagonal = np.einsum("bpp->bp", curvature)
        ridge = damping[live, None] * diagonal + 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300
        system = curvature + ridge[:, :, None] * np.eye(size)
        step = np.linalg.solve(system, slope[:, :, None])[:, :, 0]
        tried = theta[live] + step
        new_value, new_derivative = form.value(tried, x)
        new_cost = _cost(y[live] - new_value, delta)
        better = new_cost <= cost[live]
        gain = np.where(better, cost[live] - new_cost, np.inf)
        ended = gain <= tolerance * np.maximum(cost[live], 1e-300)
        stuck = ~better & (damping[live] > 1e8)
        theta[live[better]], cost[live[better]] = tried[better], new_cost[better]
        value = np.where(better[:, None], new_value, value)
        derivative = np.where(better[:, None, None], new_derivative, derivative)
        damping[live] = np.clip(np.where(better, damping[live] / 5, damping[live] * 4), 1e-12, 1e10)
        converged[live[ended | stuck]] = True
        going = ~(ended | stuck)
        live, value, derivative = live[going], value[going], derivative[going]
    return Solution(theta, cost, converged)


def _cost(residual: Array, delta: float) -> Array:
    summed = huber(residual, delta).sum(axis=1)
    return np.where(np.isfinite(summed), summed, np.inf)


@dataclass(frozen=True)
class Estimate:
    """A fit: the best minimum from many starts."""

    theta: Array
    """Coordinates of the fit, [p]."""
    delta: float
    starts: int
    converged: bool


def estimate(form: Form, x: Array, y: Array, delta: float | None = None) -> Estimate:
    """The fit of a form to one table.

    Starts are tried on a part of a long table with ``FIRST_DELTA``; the best continue over all rows with ``delta``, or with
    ``EFFICIENT`` times the residuals' own scale, so that single bad runs do not bend the law.

    Args:
        form: the law.
        x: centred logarithms, [inputs, rows].
        y: logarithms of the target, [rows].
        delta: delta of the Huber loss; None: from the residuals.
    """
    rows = np.lexsort(x)[np.linspace(0, x.shape[1] - 1, min(x.shape[1], SCREENING_ROWS)).round().astype(int)]
    starts = form.starts(x[:, rows], y[rows])
    screened = minimise(form, x[:, rows], y[rows], starts, delta or FIRST_DELTA, iterations=40, tolerance=1e-8)
    best = np.argsort(screened.cost, kind="stable")[:REFINED]
    first = screened.theta[best]
    in_force = delta
    if in_force is None:
        residual = y[rows] - form.value(first[:1], x[:, rows])[0][0]
        in_force = max(LEAST_DELTA, EFFICIENT * GAUSSIAN * float(np.median(np.abs(residual))))
    if x.shape[1] > SCREENING_ROWS:
        tried = minimise(form, x[:, rows], y[rows], first, in_force)
        first = tried.theta[[int(np.argmin(tried.cost))]]
    refined = minimise(form, x, y, first, in_force, tolerance=1e-12 if x.shape[1] <= SCREENING_ROWS else 1e-9)
    chosen = int(np.argmin(refined.cost))
    return Estimate(refined.theta[chosen], in_force, len(starts), bool(refined.converged[chosen]))
