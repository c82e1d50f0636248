"""90 % intervals of a fit's constants and predictions, by bootstrap."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from hpo.laws.fitting import Estimate, minimise
from hpo.laws.forms import Array, Form

LEVEL = 0.90
RESAMPLES = 200
FULL_ROWS = 2000
"""Number of rows above which a resample takes one Newton step instead of a new fit."""
Z = 1.6449


@dataclass(frozen=True)
class Draws:
    """Coordinates fitted to resamples of the table."""

    theta: Array
    """Coordinates of each resample, [resamples, p]."""
    method: str
    widening: float
    """Factor on the distance of quantiles from the estimate: Student's t over the Gaussian, for few rows."""


def draws(form: Form, x: Array, y: Array, found: Estimate, seed: int = 0) -> Draws:
    """Coordinates of the fits of resampled tables.

    Up to ``FULL_ROWS`` rows: the residuals, freed of their leverage and centred, are drawn with replacement and added to
    the fit, and every such table is fitted again. Above: rows get exponential weights (Rubin 1981, the Bayesian
    bootstrap) and each resample takes one Newton step from the estimate, which differs from a refit by 1 / rows.

    Args:
        form: the law.
        x: centred logarithms, [inputs, rows].
        y: logarithms of the target, [rows].
        found: the fit.
        seed: seed of the resamples.
    """
    generator = np.random.default_rng(seed)
    value, derivative = form.value(found.theta[None], x)
    value, derivative = value[0], derivative[0]
    residual, rows, size = y - value, len(y), len(found.theta)
    widening = float(stdtrit(max(1, rows - size), 0.5 + LEVEL / 2)) / Z
    weight = np.minimum(1.0, found.delta / np.maximum(np.abs(residual), 1e-300))
    if rows > FULL_ROWS:
        # Inside of delta the loss has curvature 1, outside of it none.
        inside = np.abs(residual) <= found.delta
        curvature = derivative[inside].T @ derivative[inside]
        slope = derivative * (weight * residual)[:, None]
        steps = np.empty((RESAMPLES, size))
        for index in range(RESAMPLES):
            steps[index] = generator.standard_exponential(rows, dtype=np.float32) @ slope
        theta = found.theta + np.linalg.solve(curvature + 1e-12 * np.trace(curvature) * np.eye(size), steps.T).T
        return Draws(theta, f"{RESAMPLES} resamples by exponential weights, one Newton step each", widening)
    basis = np.linalg.qr(derivative)[0]
    leverage = np.clip((basis * basis).sum(axis=1), 0.0, 0.95)
    freed = residual / np.sqrt(1 - leverage)
    freed = freed - freed.mean()
    tables = value + freed[generator.integers(rows, size=(RESAMPLES, rows))]
    refitted = minimise(
        form, x, tables, np.repeat(found.theta[None], RESAMPLES, axis=0), found.delta, iterations=60, tolerance=1e-7
    )
    return Draws(refitted.theta, f"{RESAMPLES} refits of resampled residuals", widening)


def interval(centre: float, values: Array, widening: float) -> tuple[float, float]:
    """(low, high) of the 90 % interval around an estimate, in its own unit; infinite if too few values are finite."""
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2 or not math.isfinite(centre):
        return -math.inf, math.inf
    # The quantile whose expected coverage is exact for so few draws.
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="weibull")
    return centre - widening * max(0.0, centre - float(low)), centre + widening * max(0.0, float(high) - centre)
