"""Means and deviations that standardise what is stored, and the precision in which it must be stored for that."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_DEVIATION = 1e-6
"""Deviation of a feature that never changes: it becomes zero."""
ROUNDING = 2.0**-50
"""Relative spread up to which values in double precision differ by how they were rounded, and by nothing else."""
FAR = 2.0**-40
"""Relative spread below which values are so far from zero that the rounding of their mean shows in their deviation."""
TOLERANCE = 1e-5
"""Most that single precision may move a standardised value."""
CONSTANT_TOLERANCE = 1e-2
"""Most that single precision may move a standardised feature that never changes: the proxy has zero there anyway."""
MOST_ROUNDING = 1e-2
"""Most that double precision may round a standardised value."""
WHOLE = 2.0**53
"""From here on double precision does not hold every whole number."""
BLOCK = 1 << 14
"""Rows that are compared at once."""

Array = NDArray[Any]
Axis = int | tuple[int, int]


def scaling(trained: Array, others: tuple[Array, ...], axis: Axis) -> tuple[list[float], list[float]]:
    """(means, deviations) of the training part; in double precision, for the sum of a million squares.

    A feature that is constant in the training part teaches nothing. It becomes zero there, and at most 1 away from it
    elsewhere, for no deviation is known of it.

    Args:
        trained: values of the training part, [examples, features] or [examples].
        others: those of the other parts.
        axis: axes over which values have one scale.
    """
    mean = np.atleast_1d(trained.mean(axis, dtype=np.float64))
    low, high = (np.atleast_1d(each).astype(np.float64) for each in (trained.min(axis), trained.max(axis)))
    with np.errstate(over="ignore", under="ignore"):
        deviation = np.atleast_1d(trained.std(axis, dtype=np.float64))
    constant = _constant(low, high)
    mean = np.where(low == high, low, mean)
    for at in np.flatnonzero(~constant & (deviation < 1e-100)):  # squares of these are beyond double precision
        values = trained[:, at] if trained.ndim == 2 and axis == 0 else trained
        deviation[at] = (values.astype(np.float64) / (high[at] - low[at])).std() * (high[at] - low[at])
    far = np.maximum(np.abs(low), np.abs(high)) * FAR > high - low
    for at in np.flatnonzero(~constant & far):  # the mean of these is rounded, and must not be in their deviation
        values = trained[:, at] if trained.ndim == 2 and axis == 0 else trained
        deviation[at] = (values.astype(np.float64) - low[at]).std()
    if constant.any():
        reach = np.max([np.zeros_like(mean), *(_reach(part, mean, axis) for part in (trained, *others))], axis=0)
        known = np.where(reach > 0, np.maximum(reach, np.abs(mean) * 2.0**-30), LEAST_DEVIATION)
        deviation = np.where(constant, known, deviation)
    return mean.tolist(), deviation.tolist()


def is_constant(values: Array) -> bool:
    """Whether values [examples] differ by nothing, or by their rounding alone."""
    return bool(_constant(np.asarray(values.min(), dtype=np.float64), np.asarray(values.max(), dtype=np.float64)))


def stored(values: Array, trained: NDArray[np.int64], axis: Axis) -> Array:
    """The values in single precision, where that moves no standardised value by more than ``TOLERANCE``; else in double.

    Args:
        values: finite and within single precision, [examples, features] or [examples].
        trained: rows of the training part, by which values will be standardised.
        axis: axes over which values have one scale.
    """
    if values.dtype == np.float32 or np.can_cast(values.dtype, np.float32):
        return values.astype(np.float32, copy=False)
    wide = values.astype(np.float64, copy=False)
    narrow = wide.astype(np.float32)
    worst = np.zeros(wide.shape[1:], dtype=np.float64)
    for start in range(0, len(wide), BLOCK):
        there = slice(start, start + BLOCK)
        worst = np.maximum(worst, np.abs(wide[there] - narrow[there]).max(axis=0))
    if not worst.any():
        return narrow
    rows = wide[trained]
    _, deviation = scaling(rows, (wide,), axis)
    low, high = (np.atleast_1d(each) for each in (rows.min(axis), rows.max(axis)))
    allowed = np.where(_constant(low, high), CONSTANT_TOLERANCE, TOLERANCE) * np.asarray(deviation)
    return wide if bool((worst > allowed).any()) else narrow


def unresolved(values: Array) -> int | None:
    """The first feature of values [examples, features] whose differences double precision does not hold, or None.

    Whole numbers from 2^53 on that came out equal are among them: what was written may have differed. Those below are
    exact; where they differ by no more than rounding does in other numbers, they would be taken for a constant.
    """
    low, high = (each.astype(np.float64) for each in (values.min(axis=0), values.max(axis=0)))
    largest, spread = np.maximum(np.abs(low), np.abs(high)), high - low
    for at in np.flatnonzero(largest * 2.0**-43 > spread):
        rounding = largest[at] * 2.0**-53
        deviation = float(values[:, at].astype(np.float64).std()) if spread[at] > 0 else 0.0
        noise = spread[at] <= ROUNDING * largest[at]
        if largest[at] < WHOLE and not np.mod(values[:, at].astype(np.float64), 1).any():
            if noise and spread[at] > 0:
                return int(at)
            continue
        if rounding > MOST_ROUNDING * deviation and (largest[at] >= WHOLE or not noise):
            return int(at)
    return None


def _constant(low: Array, high: Array) -> NDArray[np.bool_]:
    return np.asarray(high - low <= ROUNDING * np.maximum(np.abs(low), np.abs(high)))


def _reach(part: Array, mean: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    """Distance of the part's values from the mean, at most."""
    if not len(part):
        return np.zeros_like(mean)
    low, high = (np.atleast_1d(each).astype(np.float64) for each in (part.min(axis), part.max(axis)))
    reach: NDArray[np.float64] = np.maximum(np.abs(low - mean), np.abs(high - mean))
    return reach
