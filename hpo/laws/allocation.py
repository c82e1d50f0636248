"""Allocates a budget: N, B, S and D by Kaplan's law, by Hoffmann's, and by a user's fitted laws, side by side.

Every allocation of C floating-point operations obeys C = 6 N B S and D = B S. At batch size B and critical batch size
B_crit, the same loss takes S = S_min (1 + B_crit / B) steps and C = C_min (1 + B / B_crit) operations
(Kaplan et al. 2020, section 5.1).
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from hpo.laws.compute_optimal import HOFFMANN, KAPLAN, AllocationLaw, ComputeOptimum, fitted_allocation_laws
from hpo.laws.predicting import along
from hpo.laws.published import KAPLAN_OVERFITTING, PF_DAY
from hpo.laws.reasons import why_they_differ
from hpo.laws.refusals import LawRefused
from hpo.laws.trust import check_floor, disagreements, warnings_of
from windtunnel.types.allocations import Allocation, AllocationPlan, AllocationRequest, BatchChoice, FrontierCurve, IsoFlop
from windtunnel.types.laws import LawFit, LawRefusal

FRONTIER_POINTS = 25
FRONTIER_SPAN = 100.0
ISO_POINTS = 41
ISO_BUDGETS = (0.01, 0.1, 1.0)
BATCHES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""Batch sizes of the trade-off, in critical batch sizes."""
FAR = 10.0
"""Factor beyond the largest run of a fit from which a best size is called an extrapolation."""


def allocate(wanted: AllocationRequest, fit: LawFit | None = None) -> AllocationPlan:
    """The plan that allocates a budget by both published laws and by the laws of a fit.

    Raises:
        LawRefused: no law of the fit that allocates may be used.
    """
    compute = wanted.compute
    own, refusals = ([], []) if fit is None else _usable(fit)
    laws = [KAPLAN, HOFFMANN, *own]
    allocations = [allocation_by(each, compute, wanted) for each in laws]
    return AllocationPlan(
        compute=compute,
        pf_days=compute / PF_DAY,
        budget=_budget(wanted),
        fit=None if fit is None else fit.id,
        warnings=[
            *(f"yours: {each.law} is not used: {each.message}; {each.hint}" for each in refusals),
            *_disagreements(allocations),
        ],
        refusals=refusals,
        allocations=allocations,
        why=[*why_they_differ(allocations), *([] if fit is None else _profiles(fit, compute))],
        frontiers=[_frontier(each, compute) for each in laws],
        iso_flops=[_iso(each, compute * part) for each in laws if each.loss is not None for part in ISO_BUDGETS],
    )


def _usable(fit: LawFit) -> tuple[list[AllocationLaw], list[LawRefusal]]:
    """(laws of a fit that may be used, refusals of the others).

    Raises:
        LawRefused: all that could allocate are refused.
    """
    usable, refused = [], []
    for law in fitted_allocation_laws(fit):
        assert law.fitted is not None
        try:
            check_floor(law.fitted)
            usable.append(law)
        except LawRefused as refusal:
            refused.append(refusal)
    if refused and not usable:
        raise refused[0]
    return usable, [each.refusal for each in refused]


def _profiles(fit: LawFit, compute: float) -> list[str]:
    return [
        f"Read off your runs by {each.method.replace('_', ' ')} profiles, without a law of the loss: "
        f"N ~ C^{each.exponent:.2f} ({each.low:.2f} to {each.high:.2f}), {each.at(compute):.3g} parameters here, "
        f"{compute / 6 / each.at(compute) ** 2:.3g} tokens a parameter."
        for each in fit.profiles
    ]


def _disagreements(allocations: Sequence[Allocation]) -> list[str]:
    sizes = [
        (each.law, "the best N, parameters", each.parameters, each.parameters_low, each.parameters_high)
        for each in allocations
    ]
    losses = [(each.law, "the loss, nats", each.loss, each.low, each.high) for each in allocations]
    return disagreements([*sizes, *losses])


def compute_min_of(law: AllocationLaw, compute: float, batch_size: float | None) -> float:
    """C_min of a budget, FLOPs: C / (1 + B / B_crit), with B_crit at the loss that C_min reaches; C / 2 at B = B_crit."""
    if law.counts_all_tokens:
        return compute
    if batch_size is None:
        return compute / 2

    def gap(log_c: float) -> float:
        critical = law.best(math.exp(log_c)).critical_batch
        return log_c + math.log1p(batch_size / critical) - math.log(compute)

    return math.exp(brentq(gap, math.log(compute) - 60, math.log(compute)))


def allocation_by(law: AllocationLaw, compute: float, wanted: AllocationRequest) -> Allocation:
    """Allocation of a budget by one law, at the requested batch size, else at the critical one."""
    minimum = compute_min_of(law, compute, wanted.batch_size)
    found = law.best(minimum)
    batch = wanted.batch_size or found.critical_batch
    tokens = compute / (6 * found.parameters)
    steps = tokens / batch
    steps_min = steps / (1 + found.critical_batch / batch)
    nearby = 1.01
    more = law.best(compute_min_of(law, compute * nearby, wanted.batch_size))
    growth = math.log(more.parameters / found.parameters) / math.log(nearby)
    batches = 0.0 if wanted.batch_size else math.log(more.critical_batch / found.critical_batch) / math.log(nearby)
    band = _band(law, found, tokens, steps_min)
    sizes: tuple[float | None, float | None] = (None, None)
    if law.sizes is not None:
        sizes = law.sizes(minimum)
    scale, power = KAPLAN_OVERFITTING
    return Allocation(
        law=law.name,
        source=law.source,
        parameters=found.parameters,
        parameters_low=sizes[0],
        parameters_high=sizes[1],
        batch_size=batch,
        steps=steps,
        steps_min=steps_min,
        tokens=tokens,
        tokens_low=None if sizes[1] is None else compute / (6 * sizes[1]),
        tokens_high=None if sizes[0] is None else compute / (6 * sizes[0]),
        tokens_per_parameter=tokens / found.parameters,
        compute=compute,
        compute_min=compute / (1 + batch / found.critical_batch),
        critical_batch=found.critical_batch,
        loss=found.loss,
        low=band[0],
        high=band[1],
        powers={"parameters": growth, "tokens": 1 - growth, "batch_size": batches, "steps": 1 - growth - batches},
        data_against_overfitting=scale * found.parameters**power,
        trade_off=trade_off(found.critical_batch, batch, steps, compute, wanted.flops_per_second),
        notes=[*law.notes, *_extrapolation(law, found.parameters, tokens)],
        residual=None if law.fitted is None else law.fitted.residual,
        held_out_miss=None if law.fitted is None or law.fitted.held_out is None else law.fitted.held_out.miss,
        warnings=[] if law.fitted is None else warnings_of(law.fitted),
    )


def trade_off(critical: float, batch: float, steps: float, compute: float, speed: float | None) -> list[BatchChoice]:
    """Runs to one loss at several batch sizes: S = S_min (1 + B_crit / B), C = C_min (1 + B / B_crit)."""
    steps_min, compute_min = steps / (1 + critical / batch), compute / (1 + batch / critical)
    found = []
    for part in BATCHES:
        size = part * critical
        own_steps, own_compute = steps_min * (1 + 1 / part), compute_min * (1 + part)
        found.append(
            BatchChoice(
                batch_size=size,
                steps=own_steps,
                tokens=size * own_steps,
                compute=own_compute,
                time_share=own_steps / steps,
                compute_share=own_compute / compute,
                seconds=None if speed is None else own_compute / speed,
            )
        )
    return found


def _band(law: AllocationLaw, found: ComputeOptimum, tokens: float, steps_min: float) -> tuple[float | None, float | None]:
    if law.fitted is None:
        return None, None
    second = steps_min if law.fitted.law == "loss_parameters_steps" else tokens
    told = along(law.fitted, [[found.parameters], [second]])[0]
    return told.low, told.high


def _extrapolation(law: AllocationLaw, parameters: float, tokens: float) -> list[str]:
    if law.fitted is None:
        return []
    notes = []
    for name, value, most in (("parameters", parameters, law.fitted.largest[0]), ("tokens", tokens, None)):
        limit = most if most is not None else law.fitted.largest[1]
        if (name == "parameters" or "tokens" in law.fitted.inputs) and value > FAR * limit:
            notes.append(
                f"{name} {value:.3g} are {value / limit:.3g} times the most that was run, {limit:.3g}: extrapolated"
            )
    return notes


def _frontier(law: AllocationLaw, compute: float) -> FrontierCurve:
    budgets = np.geomspace(compute / FRONTIER_SPAN, compute * FRONTIER_SPAN**0.5, FRONTIER_POINTS)
    found: Sequence[ComputeOptimum] = [law.best(compute_min_of(law, float(c), None)) for c in budgets]
    return FrontierCurve(
        law=law.name,
        compute=[float(c) for c in budgets],
        parameters=[each.parameters for each in found],
        tokens=[float(c) / (6 * each.parameters) for c, each in zip(budgets, found, strict=True)],
        loss=[each.loss for each in found],
    )


def _iso(law: AllocationLaw, compute: float) -> IsoFlop:
    assert law.loss is not None
    middle = law.best(compute_min_of(law, compute, None)).parameters
    sizes = [float(size) for size in np.geomspace(middle / 30, middle * 30, ISO_POINTS)]
    losses = [law.loss(size, compute / (6 * size)) for size in sizes]
    return IsoFlop(law=law.name, compute=compute, parameters=sizes, loss=losses, best=int(np.argmin(losses)))


def _budget(wanted: AllocationRequest) -> str:
    if wanted.flops is not None:
        return f"{wanted.flops:.4g} FLOPs, as given"
    if wanted.seconds is not None:
        return f"{wanted.seconds:.4g} s at {wanted.flops_per_second:.4g} FLOPs a second: {wanted.compute:.4g} FLOPs"
    return (
        f"{wanted.money:.4g} at {wanted.price_per_hour:.4g} an hour and {wanted.flops_per_second:.4g} FLOPs a second: "
        f"{wanted.compute:.4g} FLOPs"
    )
