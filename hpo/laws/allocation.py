"""How to spend a budget: N, B, S and D by Kaplan's law, by Hoffmann's, and by laws of one's own, side by side.

Every way to spend C floating-point operations obeys C = 6 N B S and D = B S. At batch size B and critical batch size
B_crit, the same loss takes S = S_min (1 + B_crit / B) steps and C = C_min (1 + B / B_crit) operations
(Kaplan et al. 2020, section 5.1).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from hpo.laws.forms import FORMS, Array
from hpo.laws.predicting import along
from hpo.laws.published import (
    BESIROGLU,
    HOFFMANN_TOKENS_PER_PARAMETER,
    KAPLAN_BEST_BATCH,
    KAPLAN_BEST_STEPS,
    KAPLAN_COMPUTE,
    KAPLAN_CRITICAL_BATCH,
    KAPLAN_JOINT,
    KAPLAN_OVERFITTING,
    PF_DAY,
    CriticalBatch,
)
from hpo.laws.reasons import why_they_differ
from windtunnel.types.laws import (
    Allocation,
    AllocationPlan,
    AllocationRequest,
    BatchChoice,
    FrontierCurve,
    IsoFlop,
    LawFit,
    LawResult,
)

FRONTIER_POINTS = 25
FRONTIER_SPAN = 100.0
ISO_POINTS = 41
ISO_BUDGETS = (0.01, 0.1, 1.0)
SMALLEST, LARGEST = 1e2, 1e17
"""Parameters that a best size is looked for between."""
BATCHES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""Of the trade-off, in critical batch sizes."""
GRID, NESTED = 65, 6
"""The least loss is looked for on grids of so many sizes, each between two points of the one before."""
HALVINGS = 60
FAR = 10.0
"""A best size further than this factor beyond the runs of a fit is named as extrapolation."""


@dataclass(frozen=True)
class Spending:
    """What a law makes of a minimum compute C_min: the size, its batch, and the loss."""

    parameters: float
    tokens_min: float
    """B_crit * S_min: tokens at the smallest batch."""
    critical_batch: float
    loss: float


@dataclass(frozen=True)
class Spender:
    """A law that spends budgets."""

    law: str
    source: str
    best: Callable[[float], Spending]
    """From C_min in FLOPs."""
    loss: Callable[[float, float], float] | None
    """(parameters, tokens) -> loss, for iso-FLOP curves; None where the law has no such surface."""
    fitted: LawResult | None = None
    notes: tuple[str, ...] = ()
    counts_all_tokens: bool = False
    """The law was fitted to runs at ordinary batch sizes: its compute is what is spent, whatever the batch."""


def kaplan_best(compute_min: float) -> Spending:
    """Kaplan's compute-efficient frontier: B = 2.0e6 C^.24, S_min = 5.4e3 C^.03, and N = C_min / (6 B S_min) = 1.3e9 C^.73.

    Args:
        compute_min: FLOPs at a batch far below the critical one.
    """
    pf_days = compute_min / PF_DAY
    batch, steps = KAPLAN_BEST_BATCH.at(pf_days), KAPLAN_BEST_STEPS.at(pf_days)
    return Spending(compute_min / (6 * batch * steps), batch * steps, batch, KAPLAN_COMPUTE.at(compute_min))


def hoffmann_best(compute: float) -> Spending:
    """Approaches 1 and 2: N and D both as C^.5, 20 tokens a parameter. The batch is Kaplan's critical one at that loss."""
    parameters = math.sqrt(compute / (6 * HOFFMANN_TOKENS_PER_PARAMETER))
    tokens = HOFFMANN_TOKENS_PER_PARAMETER * parameters
    loss = BESIROGLU.at(parameters, tokens)
    return Spending(parameters, tokens, KAPLAN_CRITICAL_BATCH.at(loss), loss)


KAPLAN = Spender(
    "Kaplan",
    "Kaplan et al. 2020, appendix A",
    kaplan_best,
    lambda n, d: float(
        ((KAPLAN_JOINT[0].scale / n) ** (KAPLAN_JOINT[0].exponent / KAPLAN_JOINT[1].exponent) + KAPLAN_JOINT[1].scale / d)
        ** KAPLAN_JOINT[1].exponent
    ),
    notes=("C counts 6 N D without attention's context term; N is without embeddings",),
)
HOFFMANN = Spender(
    "Hoffmann",
    "Hoffmann et al. 2022, approaches 1 and 2; loss by the constants of Besiroglu et al. 2024",
    hoffmann_best,
    BESIROGLU.at,
    notes=("the law says nothing of the batch: it is Kaplan's critical batch size at the predicted loss",),
    counts_all_tokens=True,
)


def own_spenders(fit: LawFit) -> list[Spender]:
    """Laws of a stored fit that can spend a budget: those of N and D, and of N and S_min."""
    batch, note = _own_critical_batch(fit)
    made = []
    for law in fit.laws:
        if law.law in ("hoffmann", "loss_parameters_tokens", "loss_parameters_steps"):
            made.append(_own(law, batch, note))
    return made


def _own_critical_batch(fit: LawFit) -> tuple[CriticalBatch, str]:
    own = fit.law("critical_batch")
    if own is None:
        return KAPLAN_CRITICAL_BATCH, "the batch is Kaplan's critical batch size: the fit has no B_crit(L) of its own"
    batch = CriticalBatch(own.constant("B_star").value, own.constant("alpha_B").value)
    return batch, "the batch is the critical batch size by the fit's own B_crit(L)"


def _own(law: LawResult, batch: CriticalBatch, note: str) -> Spender:
    by_steps = law.law == "loss_parameters_steps"

    def losses(log_n: Array, compute: float) -> Array:
        """Of sizes at one compute."""
        tokens = compute / (6 * np.exp(log_n))
        return _by_steps(law, batch, log_n, tokens) if by_steps else _values(law, log_n, np.log(tokens))

    def best(compute: float) -> Spending:
        low, high = math.log(SMALLEST), math.log(LARGEST)
        for _ in range(NESTED):
            grid = np.linspace(low, high, GRID)
            at = int(np.argmin(losses(grid, compute)))
            low, high = float(grid[max(0, at - 1)]), float(grid[min(GRID - 1, at + 1)])
        size = (low + high) / 2
        loss = float(losses(np.array([size]), compute)[0])
        return Spending(math.exp(size), compute / (6 * math.exp(size)), batch.at(loss), loss)

    def loss_at(parameters: float, tokens: float) -> float:
        return float(_values(law, np.array([math.log(parameters)]), np.array([math.log(tokens)]))[0])

    return Spender(
        f"yours: {law.law}",
        f"fitted: {law.formula}",
        best,
        None if by_steps else loss_at,
        law,
        (note,),
        counts_all_tokens=not by_steps,
    )


def _values(law: LawResult, *log_inputs: Array) -> Array:
    """The law without its band, from logarithms of its inputs, [points]."""
    x = np.stack(log_inputs) - np.array(law.centre)[:, None]
    found: Array = np.exp(FORMS[law.law].value(np.array(law.theta)[None], x)[0][0])
    return found


def _by_steps(law: LawResult, batch: CriticalBatch, log_n: Array, tokens: Array) -> Array:
    """Loss where S_min = tokens / B_crit(L), and L is what that S_min gives: bisection, for both sides are monotone."""
    low, high = np.full_like(log_n, -14.0), np.full_like(log_n, 14.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        log_steps = np.log(tokens) - math.log(batch.tokens) + middle / batch.exponent
        above = np.log(_values(law, log_n, log_steps)) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.exp((low + high) / 2)


def allocate(wanted: AllocationRequest, fit: LawFit | None = None) -> AllocationPlan:
    """Spend a budget by both published laws and by those of a fit."""
    compute = wanted.compute
    spenders = [KAPLAN, HOFFMANN, *([] if fit is None else own_spenders(fit))]
    allocations = [spend(each, compute, wanted) for each in spenders]
    return AllocationPlan(
        compute=compute,
        pf_days=compute / PF_DAY,
        budget=_budget(wanted),
        fit=None if fit is None else fit.id,
        allocations=allocations,
        why=why_they_differ(allocations),
        frontiers=[_frontier(each, compute) for each in spenders],
        iso_flops=[_iso(each, compute * part) for each in spenders if each.loss is not None for part in ISO_BUDGETS],
    )


def compute_min_of(spender: Spender, compute: float, batch_size: float | None) -> float:
    """C_min of a budget: C / (1 + B / B_crit), with B_crit at the loss that C_min reaches. At B = B_crit: half."""
    if spender.counts_all_tokens:
        return compute
    if batch_size is None:
        return compute / 2

    def gap(log_c: float) -> float:
        critical = spender.best(math.exp(log_c)).critical_batch
        return log_c + math.log1p(batch_size / critical) - math.log(compute)

    return math.exp(brentq(gap, math.log(compute) - 60, math.log(compute)))


def spend(spender: Spender, compute: float, wanted: AllocationRequest) -> Allocation:
    """One law's allocation of a budget, at the batch size asked for or the critical one."""
    minimum = compute_min_of(spender, compute, wanted.batch_size)
    found = spender.best(minimum)
    batch = wanted.batch_size or found.critical_batch
    tokens = compute / (6 * found.parameters)
    steps = tokens / batch
    steps_min = steps / (1 + found.critical_batch / batch)
    nearby = 1.01
    more = spender.best(compute_min_of(spender, compute * nearby, wanted.batch_size))
    growth = math.log(more.parameters / found.parameters) / math.log(nearby)
    batches = 0.0 if wanted.batch_size else math.log(more.critical_batch / found.critical_batch) / math.log(nearby)
    band = _band(spender, found, tokens, steps_min)
    scale, power = KAPLAN_OVERFITTING
    return Allocation(
        law=spender.law,
        source=spender.source,
        parameters=found.parameters,
        batch_size=batch,
        steps=steps,
        steps_min=steps_min,
        tokens=tokens,
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
        notes=[*spender.notes, *_extrapolation(spender, found.parameters, tokens)],
    )


def trade_off(critical: float, batch: float, steps: float, compute: float, speed: float | None) -> list[BatchChoice]:
    """The same loss at other batch sizes: S = S_min (1 + B_crit / B), C = C_min (1 + B / B_crit)."""
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


def _band(spender: Spender, found: Spending, tokens: float, steps_min: float) -> tuple[float | None, float | None]:
    if spender.fitted is None:
        return None, None
    second = steps_min if spender.fitted.law == "loss_parameters_steps" else tokens
    told = along(spender.fitted, [[found.parameters], [second]])[0]
    return told.low, told.high


def _extrapolation(spender: Spender, parameters: float, tokens: float) -> list[str]:
    if spender.fitted is None:
        return []
    notes = []
    for name, value, most in (("parameters", parameters, spender.fitted.largest[0]), ("tokens", tokens, None)):
        limit = most if most is not None else spender.fitted.largest[1]
        if (name == "parameters" or "tokens" in spender.fitted.inputs) and value > FAR * limit:
            notes.append(
                f"{name} {value:.3g} are {value / limit:.3g} times the most that was run, {limit:.3g}: extrapolated"
            )
    return notes


def _frontier(spender: Spender, compute: float) -> FrontierCurve:
    budgets = np.geomspace(compute / FRONTIER_SPAN, compute * FRONTIER_SPAN**0.5, FRONTIER_POINTS)
    found: Sequence[Spending] = [spender.best(compute_min_of(spender, float(c), None)) for c in budgets]
    return FrontierCurve(
        law=spender.law,
        compute=[float(c) for c in budgets],
        parameters=[each.parameters for each in found],
        tokens=[float(c) / (6 * each.parameters) for c, each in zip(budgets, found, strict=True)],
        loss=[each.loss for each in found],
    )


def _iso(spender: Spender, compute: float) -> IsoFlop:
    assert spender.loss is not None
    middle = spender.best(compute_min_of(spender, compute, None)).parameters
    sizes = [float(size) for size in np.geomspace(middle / 30, middle * 30, ISO_POINTS)]
    losses = [spender.loss(size, compute / (6 * size)) for size in sizes]
    return IsoFlop(law=spender.law, compute=compute, parameters=sizes, loss=losses, best=int(np.argmin(losses)))


def _budget(wanted: AllocationRequest) -> str:
    if wanted.flops is not None:
        return f"{wanted.flops:.4g} FLOPs, as given"
    if wanted.seconds is not None:
        return f"{wanted.seconds:.4g} s at {wanted.flops_per_second:.4g} FLOPs a second: {wanted.compute:.4g} FLOPs"
    return (
        f"{wanted.money:.4g} at {wanted.price_per_hour:.4g} an hour and {wanted.flops_per_second:.4g} FLOPs a second: "
        f"{wanted.compute:.4g} FLOPs"
    )
