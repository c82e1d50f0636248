"""S_min, E_min and B_crit from runs at several batch sizes (Kaplan et al. 2020, equation 5.1; McCandlish et al. 2018)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo.laws.fitting import estimate
from hpo.laws.forms import Array, StepsForm
from hpo.laws.grouping import groups
from hpo.laws.intervals import draws, interval

LEAST_BATCHES = 3
MOST_SIZES = 16
BEYOND = 10.0
"""Factor outside the batch sizes that ran beyond which a critical batch size counts as not measured."""
LOSSES = 8
"""Number of losses tried, between the best that all runs of a model size reach and the worst that all begin with."""


@dataclass(frozen=True)
class BatchFit:
    """S_min, E_min and B_crit of one loss, from runs that reached it at several batch sizes."""

    parameters: float
    loss: float
    steps_min: float
    """S_min: steps at an infinite batch size."""
    tokens_min: float
    """E_min: tokens in the limit of small batch sizes."""
    critical_batch: float
    low: float
    high: float
    """Upper end of the 90 % interval of the critical batch size; infinite with 3 batch sizes or fewer."""


def batch_fit(batch_size: Array, steps: Array, *, parameters: float = 0.0, loss: float = 0.0) -> BatchFit:
    """Fit S = S_min + E_min / B to the steps to one loss, i.e. (S/S_min - 1)(E/E_min - 1) = 1 with E = B S.

    Args:
        batch_size: tokens (or examples) of an update, [runs], at least 3 different ones.
        steps: steps to the loss, [runs].
        parameters: N, kept in the result.
        loss: the loss, kept in the result.

    Raises:
        ValueError: fewer than three batch sizes.
    """
    if len(set(batch_size.tolist())) < LEAST_BATCHES:
        raise ValueError(f"S_min and B_crit need {LEAST_BATCHES} batch sizes, got {len(set(batch_size.tolist()))}")
    form, x, y, centre = _logs(batch_size, steps)
    found = estimate(form, x, y)
    low, high = -np.inf, np.inf
    if len(y) > len(found.theta) + 1:
        resampled = draws(form, x, y, found)
        critical = form.constants(found.theta[None], centre)[2].values
        low, high = interval(float(critical[0]), form.constants(resampled.theta, centre)[2].values, resampled.widening)
    ends = [float(np.exp(each.values[0])) for each in form.constants(found.theta[None], centre)]
    return BatchFit(parameters, loss, ends[0], ends[1], ends[2], float(np.exp(low)), float(np.exp(high)))


def _critical(batch_size: Array, steps: Array) -> float:
    """B_crit of one loss, without its interval."""
    form, x, y, centre = _logs(batch_size, steps)
    return float(np.exp(form.constants(estimate(form, x, y).theta[None], centre)[2].values[0]))


def _logs(batch_size: Array, steps: Array) -> tuple[StepsForm, Array, Array, Array]:
    logs = np.log(batch_size)
    return StepsForm(), (logs - logs.mean())[None], np.log(steps), np.array([logs.mean()])


def steps_to(loss: Array, steps: Array, target: float) -> float:
    """Steps at which a curve first reaches a loss, interpolated in the logarithms of both; NaN if it never does."""
    order = np.argsort(steps)
    reached = np.minimum.accumulate(loss[order])
    at = int(np.searchsorted(-reached, -target))
    if at == len(reached):
        return float("nan")
    if at == 0:
        return float(steps[order][0]) if reached[0] == target else float("nan")
    above, below = np.log(reached[at - 1]), np.log(reached[at])
    share = 0.0 if above == below else (above - np.log(target)) / (above - below)
    first, second = np.log(steps[order][at - 1 : at + 1])
    return float(np.exp(first + share * (second - first)))


def critical_batches_of(
    parameters: Array, batch_size: Array, steps: Array, loss: Array
) -> list[tuple[float, float, float]]:
    """(N, loss, B_crit) of every model size that ran at 3 batch sizes or more, at losses that all its runs passed.

    Rows of one (parameters, batch size) are points of one curve, or single ends at a loss that others reached, too.
    At most ``MOST_SIZES`` model sizes are used, evenly spread.
    """
    parameters, batch_size = (_least(column) for column in (parameters, batch_size))
    order = np.lexsort((steps, batch_size, parameters))
    begins = np.flatnonzero(np.diff(parameters[order], prepend=-1.0))
    groups = [rows for rows in np.split(order, begins[1:]) if len(rows) >= LEAST_BATCHES]
    several = [rows for rows in groups if (np.diff(batch_size[rows], prepend=-1.0) != 0).sum() >= LEAST_BATCHES]
    found = []
    for at in np.unique(np.linspace(0, len(several) - 1, min(len(several), MOST_SIZES)).round().astype(int)):
        rows = several[at]
        curves = np.split(rows, np.flatnonzero(np.diff(batch_size[rows])) + 1)
        found += [(float(parameters[rows[0]]), *pair) for pair in _along_curves(curves, batch_size, steps, loss)]
    return found


def _least(size: Array) -> Array:
    """The least size of the group of each, [rows]."""
    group = groups(size)
    least = np.full(int(group.max(initial=-1)) + 1, np.inf)
    np.minimum.at(least, group, size)
    return np.asarray(least[group])


def _along_curves(
    curves: list[NDArray[np.intp]], batch_size: Array, steps: Array, loss: Array
) -> list[tuple[float, float]]:
    """(loss, B_crit) pairs of one model size; each curve holds the rows of one batch size."""
    low = max(float(loss[curve].min()) for curve in curves)
    high = min(float(loss[curve].max()) for curve in curves)
    if low > high * (1 + 1e-9):
        return []
    targets = [low] if np.isclose(low, high) else np.geomspace(high, low, LOSSES + 1)[1:]
    found = []
    for target in targets:
        pairs = [(batch_size[curve[0]], steps_to(loss[curve], steps[curve], float(target))) for curve in curves]
        known = np.array([pair for pair in pairs if np.isfinite(pair[1])])
        if len(known) >= LEAST_BATCHES:
            critical = _critical(known[:, 0], known[:, 1])
            # A minimum at either end: these batch sizes do not bracket it.
            if known[0, 0] / BEYOND < critical < known[-1, 0] * BEYOND:
                found.append((float(target), critical))
    return found
