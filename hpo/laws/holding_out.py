"""Holds out the largest run: fits a law to the smaller ones, and says by how much that misses it."""

import numpy as np
from numpy.typing import NDArray

from hpo.laws.fitting import estimate
from hpo.laws.forms import Array, Form
from hpo.laws.grouping import SAME_SIZE
from hpo.laws.intervals import draws, scatter
from hpo.laws.predicting import banded
from hpo.laws.refusals import SPARE_POINTS, LawRefused, check_points
from windtunnel.types.laws import HeldOut, LawPoint

Rows = NDArray[np.intp] | NDArray[np.bool_]


def hold_out_largest(
    form: Form, inputs: Array, target: Array, delta: float, runs: Array | None, *, allow_narrow: bool = False
) -> tuple[HeldOut | None, str | None]:
    """Prediction of the largest run by a fit without it, or the reason why there is none.

    All runs of the largest first input are left out; for B_crit(L), all runs of the lowest loss.
    """
    first = inputs[0] if form.name != "critical_batch" else -inputs[0]
    left = (
        first >= first.max() * (1 - SAME_SIZE)
        if form.name != "critical_batch"
        else inputs[0] <= inputs[0].min() * (1 + 1e-9)
    )
    rows = np.flatnonzero(left)
    largest = int(rows[np.lexsort(inputs[:, rows])[-1]])
    rest, own, runs = chosen_rows(~left, inputs, target, runs)
    try:
        check_points(form, rest, runs, allow_narrow=allow_narrow)
    except LawRefused as refusal:
        return None, f"without the largest run {refusal.message}"
    if rest.shape[1] < len(form.coordinates) + SPARE_POINTS:
        return None, "too few runs are left without the largest"
    logs = np.log(rest)
    centre = logs.mean(axis=1)
    x, y = logs - centre[:, None], np.log(own)
    found = estimate(form, x, y, delta)
    resampled = draws(form, x, y, found, seed=1, runs=runs)
    at = (np.log(inputs[:, [largest]]) - centre[:, None]).reshape(-1, 1)
    prediction = banded(form, found.theta, resampled.theta, resampled.widening, at, scatter(resampled.freed))[0]
    actual = float(target[largest])
    return (
        HeldOut(
            at=point_at(form, inputs[:, largest]),
            rows=len(rows),
            actual=actual,
            prediction=prediction,
            miss=prediction.value / actual - 1,
        ),
        None,
    )


def chosen_rows(rows: Rows, inputs: Array, target: Array, runs: Array | None) -> tuple[Array, Array, Array | None]:
    """(inputs, target, runs) of some rows."""
    return inputs[:, rows], target[rows], None if runs is None else runs[rows]


def point_at(form: Form, values: Array) -> LawPoint:
    """Point with these values of the inputs, [inputs]."""
    return LawPoint.model_validate({name: float(value) for name, value in zip(form.inputs, values, strict=True)})
