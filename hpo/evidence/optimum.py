"""Locates the minimum of losses over log-spaced values, with an interval. Imports no torch.

A parabola through the logarithms of the losses by least squares, with an interval for its vertex by Fieller's theorem
(Fieller 1954, "Some problems in interval estimation"): the vertex is a ratio of two estimates, and where the curvature is
not clearly above 0 the interval is open, as it should be. Logarithms, because the scatter between runs grows with the loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Array = NDArray[Any]

LEVEL = 0.95
"""Confidence of every interval of this module."""
HIGHEST = 1.0
"""Largest ln(loss / lowest loss) of a value that the parabola is fitted to."""


@dataclass(frozen=True)
class Optimum:
    """The minimum of a curve of losses over x."""

    location: float
    """x of the vertex; the end of the grid if it lies beyond."""
    low: float
    high: float
    """Upper end of the interval, ``low`` is the lower; infinite if the data leave it open."""
    loss: float
    """Loss at the vertex by the parabola; without a vertex the lowest of the grid."""
    curvature: float
    """Curvature a in ln loss = ln loss* + a (x - x*)^2; 0 if no parabola opens upwards."""

    @property
    def is_bracketed(self) -> bool:
        """True if the interval of the minimum is finite on both sides."""
        return isfinite(self.low) and isfinite(self.high)


def optimum(xs: Sequence[float], losses: Sequence[Sequence[float]]) -> Optimum:
    """The minimum of losses over x.

    Args:
        xs: at least three rising values, logarithms of the varied quantity.
        losses: losses above 0, one row for each x, one column for each seed, at least two. The seeds are the same for every
            x (common random numbers), so that an offset of a seed cancels. A diverged run is infinite.

    Raises:
        ValueError: too few values or seeds, a loss that is not above 0, or no value whose runs all survived.
    """
    if len(xs) < 3 or any(a >= b for a, b in pairwise(xs)):
        raise ValueError(f"a minimum needs at least three rising values, got {list(xs)}")
    seeds = len(losses[0])
    if seeds < 2:
        raise ValueError("an interval needs at least two seeds, got 1")
    if any(loss <= 0 for row in losses for loss in row):
        raise ValueError("losses must be above 0: their logarithms are compared")
    logs = _logarithms(losses)
    bowl = _bowl(logs)
    means = logs.mean(axis=1)
    best = int(means.argmin())
    if len(bowl) < 3:
        low = xs[bowl.start - 1] if bowl.start > 0 else -inf
        high = xs[bowl.stop] if bowl.stop < len(xs) else inf
        return Optimum(xs[best], low, high, exp(means[best]), 0.0)
    chosen = np.array(xs)[bowl.start : bowl.stop]
    fit = _Fit([chosen], [logs[bowl.start : bowl.stop]], lambda x, _: np.stack([x**2, x], axis=1))
    a, b = fit.coefficients
    if a <= 0:
        return Optimum(xs[best], -inf, inf, exp(means[best]), 0.0)
    vertex = -b / (2 * a)
    low, high = fit.ratio(1, 0)
    # Beyond the grid a parabola is a guess: there the end stays open.
    if vertex < xs[0]:
        return Optimum(xs[0], -inf, max(high, xs[0]), exp(means[0]), a)
    if vertex > xs[-1]:
        return Optimum(xs[-1], min(low, xs[-1]), inf, exp(means[-1]), a)
    level = float(means[bowl.start : bowl.stop].mean()) - a * float(((chosen - vertex) ** 2).mean())
    return Optimum(vertex, low, high, exp(level), a)


def _logarithms(losses: Sequence[Sequence[float]]) -> Array:
    if any(loss <= 0 for row in losses for loss in row):
        raise ValueError("losses must be above 0: their logarithms are compared")
    logs: Array = np.log(np.array(losses, dtype=float))
    return logs


def _bowl(logs: Array) -> range:
    """Indices around the best value without diverged runs, up to ``HIGHEST``; at least three, if they exist."""
    means = logs.mean(axis=1)
    if not np.isfinite(means).any():
        raise ValueError("no value was survived by the runs of all seeds")
    first = last = best = int(means.argmin())

    def belongs(index: int) -> bool:
        if not 0 <= index < len(means) or not isfinite(means[index]):
            return False
        return bool(means[index] <= means[best] + HIGHEST) or last - first < 2

    while belongs(last + 1):
        last += 1
    while belongs(first - 1):
        first -= 1
    return range(first, last + 1)


class _Fit:
    """Least-squares fit of the mean log-losses of one or several curves, each with a level of its own.

    The variance of a mean is the larger of two estimates: the scatter of the seeds, once each seed's own level is
    subtracted, and the scatter of the means around the fit.

    Args:
        xs: x of each curve, [n].
        logs: log-losses of each curve, [n, seeds].
        design: (x, number of the curve) -> columns [n, p].
    """

    def __init__(self, xs: Sequence[Array], logs: Sequence[Array], design: Callable[[Array, int], Array]) -> None:
        rows = [design(x, index) for index, x in enumerate(xs)]
        columns = np.concatenate([row - row.mean(axis=0) for row in rows])
        means = np.concatenate([each.mean(axis=1) - each.mean() for each in logs])
        self.coefficients = [float(value) for value in np.linalg.lstsq(columns, means, rcond=None)[0]]
        scatter = [each - each.mean(axis=1, keepdims=True) - each.mean(axis=0) + each.mean() for each in logs]
        self.freedom = sum((len(each) - 1) * (each.shape[1] - 1) for each in logs)
        seeds = logs[0].shape[1]
        variance = sum(float((each**2).sum()) for each in scatter) / self.freedom / seeds
        left = len(means) - len(logs) - len(self.coefficients)
        if left > 0:
            misfit = float(((means - columns @ self.coefficients) ** 2).sum()) / left
            variance = max(variance, misfit)
        self.covariance = variance * np.linalg.inv(columns.T @ columns)

    def ratio(self, above: int, square: int) -> tuple[float, float]:
        """Interval of -b / 2a by Fieller's theorem: all x at which 2 a x + b does not differ significantly from 0."""
        a, b, cov = self.coefficients[square], self.coefficients[above], self.covariance
        quantile = float(student.ppf((1 + LEVEL) / 2, self.freedom)) ** 2
        # (2 a x + b)^2 <= q Var(2 a x + b), a quadratic inequality in x.
        leading = 4 * (a * a - quantile * cov[square, square])
        linear = 4 * (a * b - quantile * cov[square, above])
        constant = b * b - quantile * cov[above, above]
        if leading <= 0:
            return -inf, inf
        # Rounding may leave a discriminant of 0 just below it.
        root = sqrt(max(linear * linear - 4 * leading * constant, 0.0))
        return float((-linear - root) / (2 * leading)), float((-linear + root) / (2 * leading))


@dataclass(frozen=True)
class Drift:
    """The slope of a minimum's location over a second variable z."""

    slope: float
    """Slope of the location over z."""
    low: float
    high: float
    """Upper end of the slope's interval, ``low`` is the lower; infinite if the data leave it open."""
    curvature: float
    """Curvature a in ln loss = ln loss* + a (x - x*)^2, one for all curves."""


def drift(zs: Sequence[float], xs: Sequence[float], losses: Sequence[Sequence[Sequence[float]]]) -> Drift | None:
    """Slope over z of the minimum of several curves that share their curvature.

    One least-squares fit of all curves, ln loss = level of the curve + a x^2 + b x + c x z, has its minima at
    -(b + c z) / 2a: the slope is -c / 2a, again a ratio with an interval by Fieller's theorem. Together the curves fix a
    curvature that each of them alone may leave open.

    Args:
        zs: z of each curve.
        xs: as for ``optimum``, the same for all curves.
        losses: for each curve, as for ``optimum``.

    Returns:
        None if fewer than two curves have three values without diverged runs, or no parabola opens upwards.
    """
    chosen: list[tuple[float, Array, Array]] = []
    for z, table in zip(zs, losses, strict=True):
        logs = _logarithms(table)
        if not np.isfinite(logs.mean(axis=1)).any():
            continue
        bowl = _bowl(logs)
        if len(bowl) > 2:
            chosen.append((z, np.array(xs)[bowl.start : bowl.stop], logs[bowl.start : bowl.stop]))
    if len({z for z, _, _ in chosen}) < 2:
        return None
    fit = _Fit(
        [x for _, x, _ in chosen],
        [logs for _, _, logs in chosen],
        lambda x, curve: np.stack([x**2, x, x * chosen[curve][0]], axis=1),
    )
    a, _, c = fit.coefficients
    if a <= 0:
        return None
    return Drift(-c / (2 * a), *fit.ratio(2, 0), a)
