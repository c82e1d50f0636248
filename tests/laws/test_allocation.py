"""Allocations against the published tables, against a dense search, and against their own identities."""

import math

import numpy as np
import pytest

from hpo.laws.allocation import allocate, compute_min_of
from hpo.laws.compute_optimal import KAPLAN, kaplan_best
from hpo.laws.fit import fit_laws
from hpo.laws.published import BESIROGLU, KAPLAN_CRITICAL_BATCH, KAPLAN_OVERFITTING, PF_DAY
from windtunnel.types.allocations import AllocationRequest
from windtunnel.types.laws import LawFit, LawFitRequest


def slope(values: list[float], compute: list[float]) -> float:
    return math.log(values[-1] / values[0]) / math.log(compute[-1] / compute[0])


def test_kaplans_table_of_compute_efficient_training() -> None:
    """Appendix A: N = 1.3e9 C^.73, B = 2.0e6 C^.24, S_min = 5.4e3 C^.03, D = 2e10 C^.27, C_min in PF-days."""
    budgets = [2 * PF_DAY * 10.0**power for power in range(-4, 5)]
    # At the critical batch size half of the budget is C_min.
    found = [allocate(AllocationRequest(flops=budget)).allocations[0] for budget in budgets]
    assert f"{slope([a.parameters for a in found], budgets):.2f}" == "0.73"
    assert f"{slope([a.batch_size for a in found], budgets):.2f}" == "0.24"
    assert f"{slope([a.steps_min for a in found], budgets):.2f}" == "0.03"
    assert f"{slope([a.tokens for a in found], budgets):.2f}" == "0.27"
    (one,) = [a for a in found if a.compute == 2 * PF_DAY]
    assert one.compute_min == pytest.approx(PF_DAY)
    assert (
        f"{one.parameters:.1e} {one.batch_size:.1e} {one.steps_min:.1e} {one.tokens:.0e}" == "1.3e+09 2.0e+06 5.4e+03 2e+10"
    )


def test_loss_of_one_petaflop_day() -> None:
    """L(C_min) = (3.1e8 / C_min)^.050: 2.66 nats, at which B_crit(L) is the table's 2.0e6 tokens."""
    found = kaplan_best(PF_DAY)
    assert found.loss == pytest.approx(3.1e8**0.050)
    assert f"{found.loss:.2f}" == "2.66"
    assert KAPLAN_CRITICAL_BATCH.at(found.loss) == pytest.approx(2.0e6, rel=0.06)


def test_hoffmann_is_twenty_tokens_a_parameter_and_gives_the_size_of_chinchilla() -> None:
    """5.76e23 FLOPs were spent on 70e9 parameters and 1.4e12 tokens."""
    found = allocate(AllocationRequest(flops=5.76e23)).allocations[1]
    assert found.tokens_per_parameter == pytest.approx(20)
    assert f"{found.parameters:.0e} {found.tokens:.1e}" == "7e+10 1.4e+12"
    assert found.powers["parameters"] == pytest.approx(0.5)


@pytest.mark.parametrize("batch", [None, 1e4, 3e6, 1e8])
def test_every_allocation_spends_its_budget_and_no_more(batch: float | None) -> None:
    for found in allocate(AllocationRequest(flops=1e21, batch_size=batch)).allocations:
        assert 6 * found.parameters * found.batch_size * found.steps == pytest.approx(1e21)
        assert found.tokens == pytest.approx(found.batch_size * found.steps)
        assert found.compute_min == pytest.approx(1e21 / (1 + found.batch_size / found.critical_batch))
        scale, power = KAPLAN_OVERFITTING
        assert found.data_against_overfitting == pytest.approx(scale * found.parameters**power)
        assert sum(found.powers[name] for name in ("parameters", "tokens")) == pytest.approx(1)


def test_a_batch_far_below_the_critical_one_wastes_no_compute_and_one_far_above_most_of_it() -> None:
    assert compute_min_of(KAPLAN, 1e21, 1e2) == pytest.approx(1e21, rel=1e-3)
    assert compute_min_of(KAPLAN, 1e21, 1e9) < 0.01 * 1e21


def test_the_trade_off_holds_the_loss_along_the_hyperbola() -> None:
    """(S / S_min - 1)(E / E_min - 1) = 1 (McCandlish et al. 2018, equation 2.11)."""
    found = allocate(AllocationRequest(flops=1e21, flops_per_second=1e15)).allocations[0]
    tokens_min = found.steps_min * found.critical_batch
    for choice in found.trade_off:
        assert (choice.steps / found.steps_min - 1) * (choice.tokens / tokens_min - 1) == pytest.approx(1)
        assert choice.seconds == pytest.approx(choice.compute / 1e15)
    (here,) = [choice for choice in found.trade_off if choice.batch_size == pytest.approx(found.batch_size)]
    assert (here.time_share, here.compute_share) == (pytest.approx(1), pytest.approx(1))


def test_time_and_money_become_compute() -> None:
    hour = AllocationRequest(seconds=3600, flops_per_second=1e15)
    money = AllocationRequest(money=2.5, price_per_hour=2.5, flops_per_second=1e15)
    assert hour.compute == money.compute == 3.6e18
    assert "3.6e+18 FLOPs" in allocate(money).budget


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({}, "/flops"),
        ({"flops": 1e20, "money": 3}, "/money"),
        ({"seconds": 60}, "/flops_per_second"),
        ({"money": 60, "flops_per_second": 1e15}, "/price_per_hour"),
    ],
)
def test_a_budget_that_is_none_or_two_is_refused_by_field(given: dict[str, float], pointer: str) -> None:
    with pytest.raises(ValueError) as refused:
        AllocationRequest.model_validate(given)
    assert refused.value.errors()[0]["ctx"]["path"] == pointer  # type: ignore[attr-defined]


def own_fit() -> LawFit:
    n, d = (column.ravel() for column in np.meshgrid(np.geomspace(1e6, 1e10, 7), np.geomspace(1e8, 1e12, 6)))
    loss = BESIROGLU.floor + BESIROGLU.of_parameters / n**BESIROGLU.alpha + BESIROGLU.of_tokens / d**BESIROGLU.beta
    columns = {"parameters": n.tolist(), "tokens": d.tolist(), "loss": loss.tolist()}
    laws, refusals = fit_laws(LawFitRequest.model_validate({"columns": columns, "laws": ["hoffmann"]}))
    stamp = {"id": "law_1", "name": "", "created_at": "2026-01-01T00:00:00Z", "rows": len(n), "seconds": 0.0}
    return LawFit(**stamp, columns=list(columns), laws=laws, refusals=refusals)


def test_a_law_of_ones_own_is_spent_as_its_closed_form_says() -> None:
    """Hoffmann et al., equation 4: N = G (C/6)^(beta/(alpha+beta)), G = (alpha A / (beta B))^(1/(alpha+beta))."""
    plan = allocate(AllocationRequest(flops=1e21), own_fit())
    found, law = plan.allocations[2], BESIROGLU
    total = law.alpha + law.beta
    g = (law.alpha * law.of_parameters / (law.beta * law.of_tokens)) ** (1 / total)
    assert found.parameters == pytest.approx(g * (1e21 / 6) ** (law.beta / total), rel=1e-3)
    assert found.powers["parameters"] == pytest.approx(law.beta / total, abs=2e-3)
    assert (
        found.low is not None
        and found.high is not None
        and found.low <= found.loss * 1.0001
        and found.high >= found.loss * 0.9999
    )
    assert any("nearer to Hoffmann's" in sentence for sentence in plan.why)
    for curve in plan.iso_flops:
        assert 0 < curve.best < len(curve.loss) - 1


def test_sizes_far_beyond_the_runs_are_named() -> None:
    notes = allocate(AllocationRequest(flops=1e27), own_fit()).allocations[2].notes
    assert any("extrapolated" in note and note.startswith("parameters") for note in notes)
