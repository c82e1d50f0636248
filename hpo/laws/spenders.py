"""Laws as spenders of compute: which size, batch and loss each of them says is best, published or fitted."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpo.laws.forms import FORMS, Array
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
"""Parameters that a best size is looked for between."""
GRID, NESTED = 65, 6
"""The least loss is looked for on grids of so many sizes, each between two points of the one before."""
HALVINGS = 60


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
