"""90 % intervals of a fit's constants and predictions, by bootstrap."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from hpo.laws.fitting import Estimate, minimise
from hpo.laws.forms import Array, Form

Labels = NDArray[np.intp]

LEVEL = 0.90
RESAMPLES = 200
FULL_ROWS = 2000
"""Number of rows above which a resample takes one Newton step instead of a new fit."""
Z = 1.6449
SCATTERED = 50
MOST_LEVERAGE = 0.95
LEAST_FREEDOM = 3.0
FACTORS = np.array([-1.0, 1.0])
FEW_FACTORS = np.concatenate([sign * np.sqrt([0.5, 1.0, 1.5]) for sign in (-1, 1)])
"""Random factors of few runs (Webb 2023): signs alone would give few different tables."""
FEW_RUNS = 12


@dataclass(frozen=True)
class Draws:
    """Coordinates fitted to resamples of the table."""

    theta: Array
    """Coordinates of each resample, [resamples, p]."""
    method: str
    widening: float
    """Factor on the distance of quantiles from the estimate: Student's t over the Gaussian, for few rows or runs."""
    freed: Array
    """Residuals freed of their leverage, [rows]: how far single rows scatter about the law."""


def draws(form: Form, x: Array, y: Array, found: Estimate, seed: int = 0, runs: Array | None = None) -> Draws:
    """Coordinates of the fits of resampled tables.

    Up to ``FULL_ROWS`` rows, a wild bootstrap: every run keeps its own residuals, freed of their leverage, and draws one
    random factor of mean 0 and variance 1 for all of its rows; every such table is fitted again. Nothing is assumed of the
    noise of different runs, nor of the noise within one. Above: runs get exponential weights (Rubin 1981, the Bayesian
    bootstrap) and each resample takes one Newton step from the estimate, which differs from a refit by 1 / rows.

    Args:
        form: the law.
        x: centred logarithms, [inputs, rows].
        y: logarithms of the target, [rows].
        found: the fit.
        seed: seed of the resamples.
        runs: label of the run of each row, [rows]; None: each row is a run of its own.

    References:
        Wu 1986 (wild bootstrap); Cameron, Gelbach and Miller 2008 (clusters); MacKinnon, Nielsen and Webb 2023 (residuals
        freed of the leverage of their cluster, factors of six values for few clusters).
    """
    generator = np.random.default_rng(seed)
    value, derivative = form.value(found.theta[None], x)
    value, derivative = value[0], derivative[0]
    residual, rows, size = y - value, len(y), len(found.theta)
    run: Labels = np.arange(rows) if runs is None else np.asarray(np.unique(runs, return_inverse=True)[1], dtype=np.intp)
    count = int(run.max()) + 1
    free = max(1.0, rows - size if count == rows else min(rows - size, count - 1))
    of = "rows" if count == rows else f"{count} runs"
    weight = np.minimum(1.0, found.delta / np.maximum(np.abs(residual), 1e-300))
    freed = _freed(residual, derivative, run, count)
    root = np.sqrt(weight)
    free = min(free, _freedom(freed * root, derivative * root[:, None], run, count))
    widening = float(stdtrit(free, 0.5 + LEVEL / 2)) / Z
    if rows > FULL_ROWS:
        # Inside of delta the loss has curvature 1, outside of it none.
        inside = np.abs(residual) <= found.delta
        curvature = derivative[inside].T @ derivative[inside]
        slope = _by_run(derivative * (weight * residual)[:, None], run, count)
        steps = np.empty((RESAMPLES, size))
        for index in range(RESAMPLES):
            steps[index] = generator.standard_exponential(count, dtype=np.float32) @ slope
        theta = found.theta + np.linalg.solve(curvature + 1e-12 * np.trace(curvature) * np.eye(size), steps.T).T
        method = f"{RESAMPLES} resamples of {of} by exponential weights, one Newton step each"
        return Draws(theta, method, widening, freed)
    factors = FEW_FACTORS if count < FEW_RUNS else FACTORS
    tables = value + freed * generator.choice(factors, size=(RESAMPLES, count))[:, run]
    refitted = minimise(
        form, x, tables, np.repeat(found.theta[None], RESAMPLES, axis=0), found.delta, iterations=60, tolerance=1e-7
    )
    return Draws(refitted.theta, f"{RESAMPLES} refits by wild bootstrap over {of}", widening, freed)


def _freed(residual: Array, derivative: Array, run: Labels, count: int) -> Array:
    """Residuals divided by 1 less the leverage of their run, (I - H_run)^-1 r [rows]: as if it were no part of the fit."""
    basis = np.linalg.qr(derivative)[0]
    if count == len(residual):
        return np.asarray(residual / (1 - np.minimum((basis * basis).sum(axis=1), MOST_LEVERAGE)))
    freed = residual.copy()
    order = np.argsort(run, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(run[order])) + 1):
        left, values, _ = np.linalg.svd(basis[rows], full_matrices=False)
        leverage = np.minimum(values * values, MOST_LEVERAGE)
        freed[rows] += left @ (leverage / (1 - leverage) * (left.T @ residual[rows]))
    return freed


def _freedom(freed: Array, derivative: Array, run: Labels, count: int) -> float:
    """Degrees of freedom of the variances of the coordinates (Satterthwaite): few where few runs make up most of them.

    The variance of a coordinate is a sum of squares, one a run. If the noise is Gaussian, so many equal squares would
    scatter as much as theirs do.
    """
    influence = np.linalg.pinv(derivative).T * freed[:, None]
    squares = _by_run(influence, run, count) ** 2
    freedom = 3 * squares.sum(axis=0) ** 2 / np.maximum((squares * squares).sum(axis=0), 1e-300)
    return max(LEAST_FREEDOM, float(freedom.min()))


def _by_run(values: Array, run: Labels, count: int) -> Array:
    """Sums of the rows of values [rows, p] of each run, [runs, p]."""
    if count == len(values):
        return values
    return np.stack([np.bincount(run, column, count) for column in values.T], axis=1)


def interval(centre: float, values: Array, widening: float) -> tuple[float, float]:
    """(low, high) of the 90 % interval around an estimate, in its own unit; infinite if too few values are finite."""
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2 or not math.isfinite(centre):
        return -math.inf, math.inf
    low, high = bands(np.array([centre]), known[:, None], widening)
    return float(low[0]), float(high[0])


def bands(centre: Array, values: Array, widening: float) -> tuple[Array, Array]:
    """(low, high) of the 90 % intervals around estimates [points], from finite values [resamples, points]."""
    # The quantile whose expected coverage is exact for so few draws.
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, method="weibull")
    return centre - widening * np.maximum(0.0, centre - low), centre + widening * np.maximum(0.0, high - centre)


def scatter(freed: Array) -> Array:
    """Evenly spaced quantiles of the freed residuals, at most ``SCATTERED``: how far single runs lie from the law."""
    return np.quantile(freed, (np.arange(min(SCATTERED, len(freed))) + 0.5) / min(SCATTERED, len(freed)))


def run_bands(values: Array, centre: Array, widening: float, scattered: Array) -> tuple[Array, Array]:
    """(low, high) of the 90 % intervals of single runs: errors of the law and of a run, each with every other.

    Args:
        values: logarithms of the law's values by resample, [resamples, points].
        centre: logarithms of the law's values, [points].
        widening: factor on the resamples' distance from the estimate.
        scattered: quantiles of the runs' residuals, [quantiles].
    """
    spread = centre + widening * (values - centre)
    single = (spread[:, None] + widening * scattered[None, :, None]).reshape(-1, len(centre))
    low, high = np.quantile(single, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
