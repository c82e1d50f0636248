"""Fits laws to a table of runs: rows, fit, intervals and held-out run, or a refusal with its reason."""

import json
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpo.laws.fitting import GAUSSIAN, Estimate, estimate
from hpo.laws.forms import FORMS, Array, Form
from hpo.laws.grouping import groups
from hpo.laws.holding_out import chosen_rows, hold_out_largest, point_at
from hpo.laws.intervals import Draws, draws, interval, scatter
from hpo.laws.predicting import banded
from hpo.laws.published import CriticalBatch
from hpo.laws.refusals import LawRefused, check_identified, check_points, check_warmup
from hpo.laws.table import RunTable, critical_batches, run_table, with_minima
from hpo.laws.tied import has_two_exponents, tied_form
from hpo.laws.trust import broken_floor, warnings_of
from windtunnel.types.laws import (
    HeldOut,
    LawColumns,
    LawConstant,
    LawCurve,
    LawFitRequest,
    LawName,
    LawRefusal,
    LawResult,
)

BOUND_BY = {"loss_parameters": {"tokens", "steps"}, "loss_tokens": {"parameters"}}
"""Law of a single size -> columns of other sizes that may limit the loss of a row."""
CURVE_POINTS = 33
NO_FLOOR = 1e-6
"""Floor of the loss, nats, below which it counts as 0."""
SHOWN_POINTS = 200
DIGITS = 10
"""Significant digits of stored coordinates: their rounding is far below their spread."""


def fit_laws(wanted: LawFitRequest, columns: LawColumns | None = None) -> tuple[list[LawResult], list[LawRefusal]]:
    """(results, refusals) of each requested law; without a list, of each law that the table's columns allow.

    Args:
        wanted: laws and options.
        columns: the table, if the request names jobs instead of a table.

    Raises:
        LawRefused: a law was requested by name and cannot be fitted.
    """
    given = columns or wanted.columns
    assert given is not None
    table = run_table(given, wanted.warmup_steps)
    found: list[LawResult] = []
    refused: list[LawRefusal] = []
    names: Sequence[LawName] = wanted.laws or tuple(FORMS)
    # First, for S_min and C_min are taken with it.
    batch = _critical_batch(wanted, table, named="critical_batch" in names, found=found, refused=refused)
    if batch is not None:
        with_minima(table, batch)
    for name in names:
        if name == "critical_batch":
            continue
        try:
            two = has_two_exponents(FORMS[name])
            law = fit_law(
                name,
                table,
                delta=wanted.huber_delta,
                hold_out=wanted.held_out,
                allow_narrow=wanted.allow_narrow,
                tied=wanted.tied_exponents and two,
            )
            if wanted.tied_exponents and not two:
                law = law.model_copy(update={"notes": [*law.notes, "it has one exponent, and nothing to tie it to"]})
            found.append(_finite(law))
        except LawRefused as refusal:
            refused.append(refusal.refusal)
            if wanted.laws:
                raise
    order = list(FORMS)
    return sorted(found, key=lambda each: order.index(each.law)), sorted(refused, key=lambda each: order.index(each.law))


def _finite(law: LawResult) -> LawResult:
    """The law.

    Raises:
        LawRefused: it has a number that is not finite, such as a bound of an interval beyond double precision.
    """
    try:
        json.dumps(law.model_dump(mode="json"), allow_nan=False)
    except ValueError as error:
        message = "the table leaves a constant of the law, or its interval, without any bound"
        hint = "give runs whose loss changes with the sizes, over more than a decade of each"
        raise LawRefused(law.law, "unidentified", message, hint) from error
    return law


def _critical_batch(
    wanted: LawFitRequest, table: RunTable, *, named: bool, found: list[LawResult], refused: list[LawRefusal]
) -> CriticalBatch | None:
    """B_crit(L) that the request gives, else the one fitted to the table; None without either."""
    fitted = None
    try:
        own = critical_batches(table)
        fitted = _finite(fit_law("critical_batch", own, delta=wanted.huber_delta, hold_out=wanted.held_out))
        found += [fitted] if named else []
    except LawRefused as refusal:
        refused += [refusal.refusal] if named else []
        if wanted.laws and named:
            raise
    if wanted.critical_batch is not None:
        table.derived.append(
            f"S_min and C_min by B_crit = {wanted.critical_batch.tokens:g} / L^(1 / {wanted.critical_batch.exponent:g}), "
            "as given"
        )
        return CriticalBatch(wanted.critical_batch.tokens, wanted.critical_batch.exponent)
    if fitted is None:
        return None
    table.derived.append("S_min and C_min by the B_crit(L) of this table, whose own error no interval here counts")
    return CriticalBatch(fitted.constant("B_star").value, fitted.constant("alpha_B").value)


def fit_law(
    name: LawName,
    table: RunTable,
    *,
    delta: float | None = None,
    hold_out: bool = True,
    allow_narrow: bool = False,
    tied: bool = False,
) -> LawResult:
    """One law fitted to a table that has its columns.

    Args:
        name: name of the law.
        table: the runs.
        delta: delta of the Huber loss; None: from the residuals.
        hold_out: whether to fit again without the largest run.
        allow_narrow: fit in spite of a range of a decade or less, with a warning.
        tied: one exponent for both sizes, where the law has two.

    Raises:
        LawRefused: the table does not determine the law.
    """
    form = tied_form(FORMS[name]) if tied else FORMS[name]
    target = table.get(name, form.target)
    notes = list(table.derived)
    inputs = np.stack([_input(name, table, column, notes) for column in form.inputs])
    runs = table.columns.get("run")
    if name != "critical_batch":
        check_warmup(name, table.columns.get("steps"), table.columns.get("warmup_steps"))
    if (other := BOUND_BY.get(name)) and other & set(table.columns):
        rows = least_of_each(inputs[0], target)
        if len(rows) < len(target):
            notes.append(
                f"the least loss of each of {len(rows)} {form.inputs[0]}: the law is about what nothing else bounds"
            )
        inputs, target, runs = chosen_rows(rows, inputs, target, runs)
    if name == "loss_compute":
        rows = frontier(inputs[0], target)
        notes.append(
            f"{len(rows)} of {len(target)} rows are on the frontier: no cheaper run has a lower loss. Where runs lie "
            "closer than their noise, luck put them there, and the interval does not count that"
        )
        inputs, target, runs = chosen_rows(rows, inputs, target, runs)
    overridden = check_points(form, inputs, runs, allow_narrow=allow_narrow)
    logs = np.log(inputs)
    centre = logs.mean(axis=1)
    x, y = logs - centre[:, None], np.log(target)
    found = estimate(form, x, y, delta)
    resampled = draws(form, x, y, found, runs=runs)
    constants = _constants(form, found, resampled, centre)
    check_identified(form, constants)
    residual = np.abs(y - form.value(found.theta[None], x)[0][0])
    if any(each.kind == "floor" and each.value == 0 for each in constants):
        notes.append("these runs show no floor: the loss still falls as if E were 0, and far beyond them it will not")
    if not found.converged:
        notes.append("the search for the best fit had not settled when it was ended: take the constants with care")
    held: HeldOut | None = None
    missing: str | None = "not asked for"
    if hold_out:
        held, missing = hold_out_largest(form, inputs, target, found.delta, runs, allow_narrow=allow_narrow)
    shown = np.unique(np.linspace(0, len(y) - 1, min(len(y), SHOWN_POINTS)).round().astype(int))
    law = LawResult(
        law=name,
        formula=form.formula,
        constants=constants,
        rows=len(y),
        residual=float(GAUSSIAN * np.median(residual)),
        huber_delta=found.delta,
        starts=found.starts,
        interval=resampled.method,
        inputs=list(form.inputs),
        target=form.target,
        theta=_rounded(form.expanded(found.theta)),
        centre=_rounded(centre),
        draws=[_rounded(each) for each in form.expanded(resampled.theta)],
        widening=resampled.widening,
        lowest=float(target.min()),
        scatter=_rounded(scatter(resampled.freed)),
        smallest=[float(value) for value in inputs.min(axis=1)],
        largest=[float(value) for value in inputs.max(axis=1)],
        held_out=held,
        held_out_missing=missing,
        curves=_curves(form, found.theta, resampled, centre, inputs),
        points=[point_at(form, inputs[:, row]) for row in shown],
        actual=[float(target[row]) for row in shown],
        notes=notes,
        overridden=overridden,
    )
    broken = broken_floor(law)
    return law.model_copy(update={"warnings": [*([broken] if broken else []), *warnings_of(law)]})


def _input(law: LawName, table: RunTable, column: str, notes: list[str]) -> Array:
    """An input of the law [rows]: its column, or C for C_min if no batch size is known.

    Raises:
        LawRefused: the table has no such column. S never stands for S_min.
    """
    if column == "compute_min" and column not in table.columns:
        notes.append("C as spent stands for C_min: the table says nothing of batch sizes, or no B_crit is known")
        return table.get(law, "compute")
    if column == "steps_min" and column not in table.columns:
        for needed in ("steps", "batch_size"):
            table.get(law, needed)
        raise LawRefused(
            law,
            "one_batch_size",
            "S_min needs a critical batch size, and the table has no runs at several batch sizes",
            'give critical_batch, such as {"tokens": 2e8, "exponent": 0.21} of Kaplan et al., or runs at 3 batch sizes',
        )
    return table.get(law, column)


def frontier(compute: Array, loss: Array) -> NDArray[np.intp]:
    """Indices of the rows that no run with at most the same compute beats, by rising compute."""
    order = np.lexsort((loss, compute))
    before = np.minimum.accumulate(np.concatenate([[np.inf], loss[order][:-1]]))
    return np.asarray(order[loss[order] < before])


def least_of_each(size: Array, loss: Array) -> NDArray[np.intp]:
    """Index of the row with the least loss of each size, by rising size; sizes within a tolerance are one."""
    group = groups(size)
    order = np.lexsort((loss, group))
    return np.asarray(order[np.flatnonzero(np.diff(group[order], prepend=-1))])


def _constants(form: Form, found: Estimate, resampled: Draws, centre: Array) -> list[LawConstant]:
    made = []
    spreads = form.constants(resampled.theta, centre)
    for each, spread in zip(form.constants(found.theta[None], centre), spreads, strict=True):
        value = float(each.values[0])
        low, high = interval(value, spread.values, resampled.widening)
        if each.kind == "floor":
            value, low = (0.0 if end < NO_FLOOR else end for end in (value, low))
        ends = [_exp(end) for end in (value, low, high)] if each.kind == "scale" else [value, low, high]
        made.append(LawConstant(name=each.name, kind=each.kind, value=ends[0], low=ends[1], high=ends[2]))
    return made


def _curves(form: Form, theta: Array, resampled: Draws, centre: Array, inputs: Array) -> list[LawCurve]:
    """Curves of the law along its first input, up to a quarter of the span beyond the largest; one per second input."""
    low, high = math.log(inputs[0].min()), math.log(inputs[0].max())
    ahead = 0.25 * (high - low)
    at = np.linspace(low - (ahead if form.name == "critical_batch" else 0), high + ahead, CURVE_POINTS)
    others = [None] if len(inputs) == 1 else np.unique(np.quantile(inputs[1], [0, 0.5, 1], method="nearest"))
    curves = []
    for other in others:
        rows = [at - centre[0]] if other is None else [at - centre[0], np.full_like(at, math.log(other)) - centre[1]]
        band = banded(form, theta, resampled.theta, resampled.widening, np.stack(rows))
        curves.append(
            LawCurve(
                axis=form.inputs[0] if other is None else f"{form.inputs[1]} = {other:.3g}",
                at=[float(value) for value in np.exp(at)],
                value=[each.value for each in band],
                low=[each.low for each in band],
                high=[each.high for each in band],
            )
        )
    return curves


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
