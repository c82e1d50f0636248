"""Laws that do not fit say so wherever they are spent, and a floor above a loss that was seen is refused."""

import numpy as np
import pytest

from hpo.laws.allocation import allocate
from hpo.laws.fit import fit_laws
from hpo.laws.published import BESIROGLU
from hpo.laws.refusals import LawRefused
from windtunnel.types.allocations import AllocationRequest
from windtunnel.types.laws import LawFit, LawFitRequest, LawName

N, D = (column.ravel() for column in np.meshgrid(np.geomspace(1e6, 1e10, 7), np.geomspace(1e8, 1e12, 6)))
BUDGET = AllocationRequest(flops=1e21)
H = BESIROGLU


def hoffmann(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    return H.floor + H.of_parameters / n**H.alpha + H.of_tokens / d**H.beta


def fitted(loss: np.ndarray, *laws: LawName, n: np.ndarray = N, d: np.ndarray = D) -> LawFit:
    columns = {"parameters": n.tolist(), "tokens": d.tolist(), "loss": loss.tolist()}
    found, refusals = fit_laws(LawFitRequest.model_validate({"columns": columns, "laws": laws or ["hoffmann"]}))
    stamp = {"id": "law_1", "name": "", "created_at": "2026-01-01T00:00:00Z", "rows": len(n), "seconds": 0.0}
    return LawFit(**stamp, columns=list(columns), laws=found, refusals=refusals)


def noisy(scale: float, seed: int = 0) -> np.ndarray:
    return hoffmann(N, D) * np.exp(scale * np.random.default_rng(seed).standard_normal(len(N)))


def test_a_law_that_fits_is_spent_without_a_warning_and_says_how_well_it_fits() -> None:
    plan = allocate(BUDGET, fitted(noisy(0.004)))
    own = plan.allocations[2]
    assert (plan.warnings, own.warnings, plan.refusals) == ([], [], [])
    assert own.residual == pytest.approx(0.004, rel=0.45) and abs(own.held_out_miss or 1) < 0.03
    assert [each.residual for each in plan.allocations[:2]] == [None, None]


def test_scatter_and_a_missed_largest_run_are_carried_and_warned_of() -> None:
    scattered = allocate(BUDGET, fitted(noisy(0.06))).allocations[2]
    assert scattered.residual == pytest.approx(0.06, rel=0.45)
    assert any(f"residual {100 * scattered.residual:.2g} %" in each for each in scattered.warnings)
    worse = noisy(0.004)
    worse[N.max() == N] *= 1.08
    missed = allocate(BUDGET, fitted(worse)).allocations[2]
    assert missed.held_out_miss == pytest.approx(1 / 1.08 - 1, abs=0.02)
    assert any("held-out miss" in each and "outside of the interval of a single run" in each for each in missed.warnings)


@pytest.mark.parametrize("share", [0.999, 0.97, 0.5])
def test_a_floor_above_the_loss_of_a_run_is_refused_before_anything_is_spent(share: float) -> None:
    loss = noisy(0.002)
    loss[3] = share * H.floor
    fit = fitted(loss)
    assert fit.laws[0].constant("E").value > loss[3]
    assert fit.laws[0].warnings[0].startswith("its floor")
    with pytest.raises(LawRefused, match="no run falls below a floor") as refused:
        allocate(BUDGET, fit)
    assert refused.value.reason == "floor_above_runs" and refused.value.hint


def test_of_two_laws_the_one_that_may_be_used_is_and_the_other_is_named_first() -> None:
    loss = noisy(0.002)
    loss[3] = 0.9 * H.floor
    plan = allocate(BUDGET, fitted(loss, "hoffmann", "loss_parameters_tokens"))
    assert [each.law for each in plan.allocations[2:]] == ["yours: loss_parameters_tokens"]
    assert plan.warnings[0].startswith("yours: hoffmann is not used: its floor")
    assert [each.reason for each in plan.refusals] == ["floor_above_runs"]


@pytest.mark.parametrize(
    "loss",
    [
        noisy(0.003),
        noisy(0.001, 5),
        hoffmann(N, D),
    ],
)
def test_two_forms_that_disagree_beyond_their_intervals_are_told_first(loss: np.ndarray) -> None:
    """One of the two has a floor and the other has none: far beyond the runs they part."""
    plan = allocate(AllocationRequest(flops=1e26), fitted(loss, "hoffmann", "loss_parameters_tokens"))
    assert any("disagree beyond their 90 % intervals on the loss, nats" in each for each in plan.warnings)
    joint, own = plan.allocations[2:]
    assert joint.high is not None and own.high is not None and joint.low is not None and own.low is not None
    assert joint.high < own.low or own.high < joint.low


def test_the_best_size_has_an_interval_that_holds_the_closed_form_in_nine_of_ten_tables() -> None:
    """N = G (C/6)^(beta/(alpha+beta)) (Hoffmann et al. 2022, equation 4)."""
    total = H.alpha + H.beta
    g = (H.alpha * H.of_parameters / (H.beta * H.of_tokens)) ** (1 / total)
    best, held = g * (BUDGET.compute / 6) ** (H.beta / total), 0
    for seed in range(30):
        own = allocate(BUDGET, fitted(noisy(0.01, seed))).allocations[2]
        assert own.parameters_low is not None and own.parameters_high is not None and own.tokens_low is not None
        held += own.parameters_low <= best <= own.parameters_high
        assert own.parameters_low <= own.parameters <= own.parameters_high
        assert own.tokens_low == pytest.approx(BUDGET.compute / 6 / own.parameters_high)
    assert 25 <= held <= 30
