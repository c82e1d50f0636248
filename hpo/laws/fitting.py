"""Robust fits of a form in logarithms: the Huber loss summed over rows, minimised from many starts at once."""

from dataclasses import dataclass

import numpy as np

from hpo.laws.forms import Array, Form

LEAST_DELTA = 1e-3
"""Where residuals turn from squares to absolute values, at least; what Hoffmann et al. took throughout."""
FIRST_DELTA = 0.1
EFFICIENT = 1.345
"""Times the residuals' scale: 95 % of the efficiency of least squares on Gaussian noise (Huber 1981)."""
GAUSSIAN = 1.4826
"""Median absolute deviation -> standard deviation."""
ITERATIONS = 200
SCREENING_ROWS = 400
"""Starts are tried on at most so many rows, evenly spread over the table."""
REFINED = 3


@dataclass(frozen=True)
class Solution:
    """Minima of many problems that share their rows' x."""

    theta: Array
    """[batch, p]."""
    cost: Array
    """[batch], the sum of Huber losses."""
    converged: Array
    """[batch], boolean."""


def huber(residual: Array, delta: float) -> Array:
    """r^2 / 2 up to delta, delta (|r| - delta / 2) beyond; the same shape."""
    size = np.abs(residual)
    return np.asarray(np.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta)), dtype=np.float64)


def minimise(
    form: Form, x: Array, y: Array, theta: Array, delta: float, *, iterations: int = ITERATIONS, tolerance: float = 1e-12
) -> Solution:
    """Levenberg-Marquardt with Huber weights, all problems in step.

    Args:
        form: the law.
        x: centred logarithms, [inputs, rows].
        y: logarithms of the target, [batch, rows] or [rows].
        theta: where to begin, [batch, p].
        delta: of the Huber loss.
        iterations: at most so many steps.
        tolerance: a step that gains less of the cost, in proportion, ends a problem.
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
    """The best of many starts."""

    theta: Array
    """[p]."""
    delta: float
    starts: int
    converged: bool


def estimate(form: Form, x: Array, y: Array, delta: float | None = None) -> Estimate:
    """Fit one table.

    Starts are tried on a part of a long table with ``FIRST_DELTA``; the best go on over all rows with the delta asked for,
    or else ``EFFICIENT`` times the residuals' own scale, so that single bad runs do not bend the law.

    Args:
        form: the law.
        x: centred logarithms, [inputs, rows].
        y: logarithms of the target, [rows].
        delta: of the Huber loss; None: from the residuals.
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
