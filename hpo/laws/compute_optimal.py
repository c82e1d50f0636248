"""Compute-optimal sizes by published and fitted laws: model size, tokens, batch size and loss of a compute budget."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpo.laws.forms import FORMS, Array
from hpo.laws.intervals import interval
from hpo.laws.published import (
    BESIROGLU,
    HOFFMANN_TOKENS_PER_PARAMETER,
    KAPLAN_BEST_BATCH,
    KAPLAN_BEST_STEPS,
    KAPLAN_COMPUTE,
    KAPLAN_CRITICAL_BATCH,
    KAPLAN_JOINT,
    PF_DAY,
    CriticalBatch,
)
from windtunnel.types.laws import LawFit, LawResult

SMALLEST, LARGEST = 1e2, 1e17
"""Range of model sizes, parameters, in which the best size is searched."""
GRID, NESTED = 65, 6
"""Sizes of a grid, and number of grids, each between two points of the one before, that search for the least loss."""
SPAN, NEAR = 12.0, 201
"""Logarithm of the factor about the best size, and number of sizes, where the best of each resample is looked for."""
HALVINGS = 60


@dataclass(frozen=True)
class ComputeOptimum:
    """The best use of a minimum compute C_min by a law: model size, tokens, critical batch size and loss."""

    parameters: float
    tokens_min: float
    """Tokens B_crit * S_min: those of a run at small batch sizes."""
    critical_batch: float
    loss: float


@dataclass(frozen=True)
class AllocationLaw:
    """A law that allocates compute."""

    name: str
    source: str
    best: Callable[[float], ComputeOptimum]
    """C_min in FLOPs -> its best use."""
    loss: Callable[[float, float], float] | None
    """(parameters, tokens) -> loss, for iso-FLOP curves; None if the law gives no such loss."""
    fitted: LawResult | None = None
    notes: tuple[str, ...] = ()
    counts_all_tokens: bool = False
    """True if the law was fitted to runs at ordinary batch sizes: its compute is all that is spent, at any batch size."""
    sizes: Callable[[float], tuple[float, float]] | None = None
    """C_min in FLOPs -> 90 % interval of the best number of parameters; None for a published law."""


def kaplan_best(compute_min: float) -> ComputeOptimum:
    """Optimum on Kaplan's frontier: B = 2.0e6 C^.24, S_min = 5.4e3 C^.03, and N = C_min / (6 B S_min) = 1.3e9 C^.73.

    Args:
        compute_min: FLOPs at a batch far below the critical one.
    """
    pf_days = compute_min / PF_DAY
    batch, steps = KAPLAN_BEST_BATCH.at(pf_days), KAPLAN_BEST_STEPS.at(pf_days)
    return ComputeOptimum(compute_min / (6 * batch * steps), batch * steps, batch, KAPLAN_COMPUTE.at(compute_min))


def hoffmann_best(compute: float) -> ComputeOptimum:
    """Optimum by Hoffmann's approaches 1 and 2: N and D grow as C^.5, 20 tokens per parameter.

    The batch size is Kaplan's critical one at the predicted loss.
    """
    parameters = math.sqrt(compute / (6 * HOFFMANN_TOKENS_PER_PARAMETER))
    tokens = HOFFMANN_TOKENS_PER_PARAMETER * parameters
    loss = BESIROGLU.at(parameters, tokens)
    return ComputeOptimum(parameters, tokens, KAPLAN_CRITICAL_BATCH.at(loss), loss)


KAPLAN = AllocationLaw(
    "Kaplan",
    "Kaplan et al. 2020, appendix A",
    kaplan_best,
    lambda n, d: float(
        ((KAPLAN_JOINT[0].scale / n) ** (KAPLAN_JOINT[0].exponent / KAPLAN_JOINT[1].exponent) + KAPLAN_JOINT[1].scale / d)
        ** KAPLAN_JOINT[1].exponent
    ),
    notes=("C counts 6 N D without attention's context term; N is without embeddings",),
)
HOFFMANN = AllocationLaw(
    "Hoffmann",
    "Hoffmann et al. 2022, approaches 1 and 2; loss by the constants of Besiroglu et al. 2024",
    hoffmann_best,
    BESIROGLU.at,
    notes=("the law says nothing of the batch: it is Kaplan's critical batch size at the predicted loss",),
    counts_all_tokens=True,
)


def fitted_allocation_laws(fit: LawFit) -> list[AllocationLaw]:
    """Laws of a stored fit that can allocate compute: those of N and D, and of N and S_min."""
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


def _own(law: LawResult, batch: CriticalBatch, note: str) -> AllocationLaw:
    by_steps = law.law == "loss_parameters_steps"

    def losses(log_n: Array, compute: float) -> Array:
        """Loss of each size at one compute, [sizes]."""
        tokens = compute / (6 * np.exp(log_n))
        return _by_steps(law, batch, log_n, tokens) if by_steps else _values(law, log_n, np.log(tokens))

    def best(compute: float) -> ComputeOptimum:
        low, high = math.log(SMALLEST), math.log(LARGEST)
        for _ in range(NESTED):
            grid = np.linspace(low, high, GRID)
            at = int(np.argmin(losses(grid, compute)))
            low, high = float(grid[max(0, at - 1)]), float(grid[min(GRID - 1, at + 1)])
        size = (low + high) / 2
        loss = float(losses(np.array([size]), compute)[0])
        return ComputeOptimum(math.exp(size), compute / (6 * math.exp(size)), batch.at(loss), loss)

    def sizes(compute: float) -> tuple[float, float]:
        """Interval of the best size: that of each resampled law, about the fit's."""
        middle = math.log(best(compute).parameters)
        grid = np.linspace(middle - SPAN, middle + SPAN, NEAR)
        theta, tokens = np.array(law.draws), compute / (6 * np.exp(grid))
        found = _by_steps(law, batch, grid, tokens, theta) if by_steps else _values(law, grid, np.log(tokens), theta=theta)
        low, high = interval(middle, _lowest(grid, np.log(found)), law.widening)
        return _exp(low), _exp(high)

    def loss_at(parameters: float, tokens: float) -> float:
        return float(_values(law, np.array([math.log(parameters)]), np.array([math.log(tokens)]))[0])

    return AllocationLaw(
        f"yours: {law.law}",
        f"fitted: {law.formula}",
        best,
        None if by_steps else loss_at,
        law,
        (note,),
        counts_all_tokens=not by_steps,
        sizes=sizes,
    )


def _values(law: LawResult, *log_inputs: Array, theta: Array | None = None) -> Array:
    """Values of the law, [points] or for several coordinates theta [batch, points], at logarithms of its inputs."""
    x = np.stack(log_inputs) - np.array(law.centre)[:, None]
    if theta is not None:
        return np.asarray(np.exp(FORMS[law.law].value(theta, x)[0]))
    found: Array = np.exp(FORMS[law.law].value(np.array(law.theta)[None], x)[0][0])
    return found


def _by_steps(law: LawResult, batch: CriticalBatch, log_n: Array, tokens: Array, theta: Array | None = None) -> Array:
    """Loss L [sizes] at which S_min = tokens / B_crit(L) gives L itself; by bisection, as both sides are monotone.

    With several coordinates theta [batch, p], [batch, sizes].
    """
    if theta is not None:
        return np.stack([_by_steps(law.model_copy(update={"theta": each}), batch, log_n, tokens) for each in theta])
    low, high = np.full_like(log_n, -14.0), np.full_like(log_n, 14.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        log_steps = np.log(tokens) - math.log(batch.tokens) + middle / batch.exponent
        above = np.log(_values(law, log_n, log_steps)) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.exp((low + high) / 2)


def _lowest(grid: Array, losses: Array) -> Array:
    """Place of the least of each row of losses [batch, grid], by the parabola through its neighbours; NaN without."""
    known = np.where(np.isfinite(losses), losses, np.inf)
    at = np.clip(known.argmin(axis=1), 1, len(grid) - 2)
    before, here, after = (known[np.arange(len(known)), at + step] for step in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = 0.5 * (before - after) / (before - 2 * here + after)
    return np.asarray(grid[at] + np.clip(offset, -1, 1) * (grid[1] - grid[0]))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
