"""Estimates exponents of power laws over width, each with an interval over seeds. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import atan, cos, isfinite, log, pi, sin, sqrt
from statistics import fmean, stdev

CONFIDENCE = 0.95
"""Confidence of the intervals, unless another one is given."""
LARGEST = 3.4028234663852886e38
"""Value that replaces a size that overflowed: the largest float32, so that slopes stay numbers."""


@dataclass(frozen=True)
class Interval:
    """An estimate over seeds with its interval."""

    value: float
    low: float
    high: float


def finite(value: float) -> float:
    """The value itself, or ``LARGEST`` if the run diverged."""
    return value if isfinite(value) else LARGEST


def log_log_slope(widths: Sequence[int], sizes: Sequence[float]) -> float | None:
    """Least-squares exponent a of size ~ width^a; None if a size is 0, as there is no power law.

    Args:
        widths: at least two different ones.
        sizes: one for each width; non-finite ones count as the largest float32.
    """
    if len(set(widths)) < 2:
        raise ValueError(f"a slope over width needs at least two widths, got {list(widths)}")
    if any(size == 0 for size in sizes):
        return None
    xs, ys = [log(width) for width in widths], [log(finite(size)) for size in sizes]
    mean_x, mean_y = fmean(xs), fmean(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - mean_x) ** 2 for x in xs)


def slope_over_seeds(widths: Sequence[int], sizes: Sequence[Sequence[float]]) -> Interval | None:
    """Mean of the seeds' own exponents, with its t-interval; None if a size is 0.

    Each seed is fitted by itself, because the widths of one seed share their random numbers: their errors are not
    independent, while those of two seeds are. The t-interval is exact for normal errors at any number of seeds; a bootstrap
    of three seeds has only ten different samples, and its interval is too short.

    Args:
        widths: at least two different ones.
        sizes: [widths][seeds].
    """
    slopes = [log_log_slope(widths, column) for column in zip(*sizes, strict=True)]
    known = [slope for slope in slopes if slope is not None]
    return None if len(known) < len(slopes) else interval(known)


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean of independent values with its two-sided t-interval; unbounded for a single one."""
    middle, count = fmean(values), len(values)
    half = student_t(confidence, count - 1) * stdev(values) / sqrt(count) if count > 1 else float("inf")
    return Interval(middle, middle - half, middle + half)


@lru_cache
def student_t(confidence: float, freedom: int) -> float:
    """Quantile t: a Student-t variable with ``freedom`` >= 1 degrees of freedom lies in [-t, t] with this probability."""
    low, high = 0.0, 1e6
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < confidence else (low, middle)
    return high


def _inside(t: float, freedom: int) -> float:
    """Probability that |T| <= t, a finite sum for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3, 26.7.4)."""
    angle = atan(t / sqrt(freedom))
    odd = freedom % 2
    term = cos(angle) if odd else 1.0
    total = 0.0
    for index in range((freedom - odd) // 2):
        total += term
        numerator = 2 * (index + 1) if odd else 2 * index + 1
        term *= numerator / (numerator + 1) * cos(angle) ** 2
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
