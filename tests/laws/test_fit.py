"""What a table of runs must be, what is refused and why, the run held out, batch sizes, and a long table's time."""

import time

import numpy as np
import pytest
from scipy.optimize import linprog

from hpo.laws.batches import batch_fit, critical_batches_of, steps_to
from hpo.laws.fit import fit_law, fit_laws, frontier
from hpo.laws.grouping import groups
from hpo.laws.predicting import predict
from hpo.laws.refusals import LawRefused
from hpo.laws.table import RunTable
from windtunnel.types.laws import LawFitRequest, LawPoint

N = np.geomspace(1e6, 1e9, 10)
LOSS = (8.8e13 / N) ** 0.076


def request(**fields: object) -> LawFitRequest:
    columns = {"parameters": N.tolist(), "loss": LOSS.tolist()}
    return LawFitRequest.model_validate({"columns": columns, "laws": ["loss_parameters"], **fields})


def reason(table: dict[str, np.ndarray], law: str = "loss_parameters") -> str:
    with pytest.raises(LawRefused) as refused:
        fit_law(law, RunTable(table))  # type: ignore[arg-type]
    assert refused.value.hint
    return f"{refused.value.reason}: {refused.value.message}"


def test_too_few_points_one_decade_and_a_missing_column_are_refused_with_numbers() -> None:
    assert reason({"parameters": N[:3], "loss": LOSS[:3]}).startswith(
        "too_few_points: L = (N_c / N)^alpha_N has 2 constants"
    )
    narrow = np.geomspace(1e6, 1e7, 10)
    assert reason({"parameters": narrow, "loss": (8.8e13 / narrow) ** 0.076}).startswith(
        "too_narrow: parameters spans a factor 10"
    )
    assert reason({"parameters": N, "loss": LOSS}, "loss_tokens") == "missing_column: the table has no column tokens"
    two = np.array([1e6, 1e9] * 5)
    assert reason({"parameters": two, "loss": (8.8e13 / two) ** 0.076}) == "too_few_points: parameters takes 2 values only"


def test_a_law_that_the_runs_do_not_show_is_refused() -> None:
    noise = np.exp(0.1 * np.random.default_rng(0).standard_normal(10))
    assert "spans 0" in reason({"parameters": N, "loss": 3.0 * noise})
    rising = reason({"parameters": N, "loss": 1 / LOSS})
    assert rising.startswith("unidentified: alpha_N is -0.076")


def test_points_in_warmup_are_refused_by_row() -> None:
    columns = {"parameters": N.tolist(), "loss": LOSS.tolist(), "steps": [100.0, *[5000.0] * 9]}
    with pytest.raises(LawRefused, match="row 1 has 100 steps of which 500 are warmup"):
        fit_laws(LawFitRequest.model_validate({"columns": columns, "laws": ["loss_parameters"], "warmup_steps": 500}))


def test_without_a_list_every_law_that_the_columns_allow_is_fitted_and_the_others_say_why() -> None:
    laws, refusals = fit_laws(request(laws=[]))
    assert [law.law for law in laws] == ["loss_parameters"]
    assert {each.law: each.reason for each in refusals}["hoffmann"] == "missing_column"
    assert len(refusals) == 6


def test_the_largest_run_is_predicted_from_the_others_and_the_miss_is_said() -> None:
    bent = LOSS.copy()
    bent[-1] *= 1.1
    (law,), _ = fit_laws(request(columns={"parameters": N.tolist(), "loss": bent.tolist()}))
    held = law.held_out
    assert held is not None and held.at.parameters == pytest.approx(1e9)
    assert (held.rows, held.actual) == (1, pytest.approx(bent[-1]))
    assert held.prediction.value == pytest.approx(LOSS[-1], rel=1e-3)
    assert held.miss == pytest.approx(1 / 1.1 - 1, abs=1e-3)
    (short,), _ = fit_laws(request(columns={"parameters": [1e6, 2e6, 4e6, 2e7], "loss": LOSS[[0, 1, 2, 4]].tolist()}))
    assert short.held_out is None and short.held_out_missing is not None


def test_a_law_is_predicted_with_an_interval_that_widens_outwards() -> None:
    noisy = LOSS * np.exp(0.01 * np.random.default_rng(1).standard_normal(10))
    law = fit_law("loss_parameters", RunTable({"parameters": N, "loss": noisy}))
    near, far = (predict(law, LawPoint(parameters=size)) for size in (3e7, 1e13))
    assert near.low < near.value < near.high
    assert np.log(far.high / far.low) > 2 * np.log(near.high / near.low)
    assert near.run_low is not None and near.run_high is not None
    assert near.run_low < near.low and near.run_high > near.high
    with pytest.raises(ValueError, match="is asked at parameters"):
        predict(law, LawPoint(tokens=1e9))


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-4, 1e-3])
def test_sizes_that_are_meant_to_be_one_are_one(noise: float) -> None:
    """Five sizes at eight data sizes: the least loss of each, whatever the rounding of the counts."""
    n, d = (column.ravel() for column in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e8, 1e12, 8)))
    loss = 482.01 / n**0.3478 + 2085.43 / d**0.3658
    n = n * (1 + noise * np.random.default_rng(0).uniform(-1, 1, 40))
    law = fit_law("loss_parameters", RunTable({"parameters": n, "tokens": d, "loss": loss}))
    assert law.rows == 5 and law.actual == pytest.approx(sorted(loss[d == d.max()], reverse=True))
    assert law.held_out is not None and law.held_out.rows == 1
    joint = fit_law("loss_parameters_tokens", RunTable({"parameters": n, "tokens": d, "loss": loss}))
    assert joint.held_out is not None and joint.held_out.rows == 8
    two = RunTable({"parameters": np.where(n > 1e8, 1e9, 1e6) * n / n.round(-4), "loss": loss})
    with pytest.raises(LawRefused, match="parameters takes 2 values only"):
        fit_law("loss_parameters", two)


def test_groups_reach_a_tolerance_from_their_least_size_and_do_not_chain() -> None:
    assert groups(np.array([1.0, 1.004, 2.0, 1.008, 1.0])).tolist() == [0, 0, 2, 1, 0]
    # A dense table of sizes stays one: each group spans no more than the tolerance.
    dense = np.geomspace(1, 10, 5000)
    found = groups(dense)
    assert max(np.ptp(np.log(dense[found == each])) for each in np.unique(found)) <= np.log(1.005) + 1e-9


@pytest.mark.parametrize("span", [2.0, 5.0, 10.0])
def test_a_refusal_by_range_can_be_overridden_and_the_result_says_so(span: float) -> None:
    n = np.geomspace(1e6, span * 1e6, 10)
    columns = {"parameters": n.tolist(), "loss": ((8.8e13 / n) ** 0.076).tolist()}
    with pytest.raises(LawRefused, match="allow_narrow"):
        fit_laws(request(columns=columns))
    (law,), _ = fit_laws(request(columns=columns, allow_narrow=True))
    assert law.constant("alpha_N").value == pytest.approx(0.076, rel=1e-3)
    assert law.overridden and law.overridden[0] in law.warnings and f"factor {span:.3g} only" in law.overridden[0]
    (wide,), _ = fit_laws(request(allow_narrow=True))
    assert wide.overridden == []


@pytest.mark.parametrize("name", ["hoffmann", "loss_parameters_tokens", "loss_parameters_steps"])
def test_tied_exponents_are_one_constant_and_come_back(name: str) -> None:
    n, d = (column.ravel() for column in np.meshgrid(np.geomspace(1e6, 1e10, 7), np.geomspace(1e8, 1e12, 6)))
    second = {"loss_parameters_steps": "steps_min"}.get(name, "tokens")
    loss = {
        "hoffmann": 1.8 + 482.01 / n**0.35 + 2085.43 / d**0.35,
        "loss_parameters_tokens": (6.4e13 / n + 1.8e13 / d) ** 0.09,
        "loss_parameters_steps": (8.8e13 / n) ** 0.3 + (2.1e8 / d) ** 0.3,
    }[name]
    table = RunTable({"parameters": n, second: d, "loss": loss})
    law = fit_law(name, table, tied=True)  # type: ignore[arg-type]
    free = fit_law(name, table, hold_out=False)  # type: ignore[arg-type]
    first, other = (each for each in law.constants if each.kind == "exponent")
    assert (first.value, first.low, first.high) == (other.value, other.low, other.high)
    truth = {"hoffmann": 0.35, "loss_parameters_tokens": 0.09, "loss_parameters_steps": 0.3}[name]
    assert first.value == pytest.approx(truth, rel=1e-3)
    assert "one exponent for both sizes" in law.formula
    # Stored coordinates are those of the law itself: it predicts without knowing of the tie.
    at = LawPoint.model_validate({"parameters": 1e11, second: 1e13})
    assert predict(law, at).value == pytest.approx(predict(free, at).value, rel=1e-3)


def test_a_law_of_one_exponent_says_that_there_was_nothing_to_tie() -> None:
    (law,), _ = fit_laws(request(tied_exponents=True))
    assert any("nothing to tie" in note for note in law.notes)


def test_a_tiny_huber_delta_is_least_absolute_deviations_and_a_huge_one_least_squares() -> None:
    """Against linear programming and against the normal equations, on lopsided noise that parts the two."""
    y = np.log(LOSS) + 0.05 * np.random.default_rng(0).standard_exponential(10)
    design = np.stack([np.ones(10), np.log(N)], axis=1)
    # The sum of |r| is the least sum of bounds t with -t <= r <= t.
    bounds = np.block([[design, -np.eye(10)], [-design, -np.eye(10)]])
    cost = np.concatenate([np.zeros(2), np.ones(10)])
    absolute = linprog(cost, A_ub=bounds, b_ub=np.concatenate([y, -y]), bounds=(None, None)).x[1]
    squares = np.linalg.lstsq(design, y, rcond=None)[0][1]
    table = RunTable({"parameters": N, "loss": np.exp(y)})
    found = [
        fit_law("loss_parameters", table, delta=delta, hold_out=False).constant("alpha_N").value for delta in (1e-5, 10.0)
    ]
    assert found == [pytest.approx(-absolute, rel=1e-2), pytest.approx(-squares, rel=1e-6)]
    assert abs(absolute / squares - 1) > 0.03


def test_the_frontier_has_no_run_that_a_cheaper_one_beats() -> None:
    compute, loss = np.array([1.0, 2, 3, 3, 4]), np.array([5.0, 6, 4, 3, 3.5])
    assert frontier(compute, loss).tolist() == [0, 3]


def test_steps_and_critical_batch_come_back_from_runs_at_several_batch_sizes() -> None:
    """S = S_min (1 + B_crit / B), exactly and within the interval with noise."""
    batches = np.geomspace(1e4, 1e7, 8)
    steps = 3000 * (1 + 2e5 / batches)
    exact = batch_fit(batches, steps)
    assert (exact.steps_min, exact.critical_batch) == (pytest.approx(3000, rel=1e-3), pytest.approx(2e5, rel=1e-3))
    noisy = batch_fit(batches, steps * np.exp(0.05 * np.random.default_rng(0).standard_normal(8)))
    assert noisy.low <= 2e5 <= noisy.high
    with pytest.raises(ValueError, match="need 3 batch sizes, got 2"):
        batch_fit(batches[:2], steps[:2])


def test_steps_to_a_loss_are_read_off_a_curve() -> None:
    steps, loss = np.array([1.0, 10, 100]), np.array([8.0, 4, 2])
    assert steps_to(loss, steps, 2.0) == pytest.approx(100)
    assert steps_to(loss, steps, np.sqrt(8)) == pytest.approx(np.sqrt(1000))
    assert np.isnan(steps_to(loss, steps, 1.0)) and np.isnan(steps_to(loss, steps, 9.0))


def curves() -> dict[str, list[float]]:
    """Kaplan's L(N, S_min) at 5 batch sizes, S = S_min (1 + B_crit(L) / B)."""
    rows = []
    for size in np.geomspace(1e6, 1e9, 5):
        for batch in np.geomspace(3e4, 3e7, 5):
            for least in np.geomspace(1e3, 1e5, 12):
                loss = (8.8e13 / size) ** 0.076 + (2.1e3 / least) ** 0.76
                rows.append((size, batch, least * (1 + 2e8 / loss ** (1 / 0.21) / batch), loss))
    return dict(
        zip(
            ("parameters", "batch_size", "steps", "loss"),
            (list(map(float, c)) for c in zip(*rows, strict=True)),
            strict=True,
        )
    )


def test_the_laws_of_steps_and_of_batches_come_back_from_curves_alone() -> None:
    laws, _ = fit_laws(
        LawFitRequest.model_validate({"columns": curves(), "laws": ["critical_batch", "loss_parameters_steps"]})
    )
    steps, batch = laws
    assert batch.constant("alpha_B").value == pytest.approx(0.21, rel=0.05)
    assert batch.constant("B_star").value == pytest.approx(2e8, rel=0.3)
    assert steps.constant("alpha_N").value == pytest.approx(0.076, rel=0.05)
    assert steps.constant("alpha_S").value == pytest.approx(0.76, rel=0.05)
    assert any("B_crit(L) of this table" in note for note in steps.notes)


def test_without_batch_sizes_minimum_steps_need_a_critical_batch_law() -> None:
    table = {name: np.array(values) for name, values in curves().items()}
    few = {name: values[table["batch_size"] == table["batch_size"][0]].tolist() for name, values in table.items()}
    with pytest.raises(LawRefused, match="S_min needs a critical batch size"):
        fit_laws(LawFitRequest.model_validate({"columns": few, "laws": ["loss_parameters_steps"]}))
    given = {"columns": few, "laws": ["loss_parameters_steps"], "critical_batch": {}}
    (law,), _ = fit_laws(LawFitRequest.model_validate(given))
    assert law.constant("alpha_S").value == pytest.approx(0.76, rel=0.01)
    assert critical_batches_of(*(np.array(few[name]) for name in ("parameters", "batch_size", "steps", "loss"))) == []


def test_a_hundred_thousand_rows_are_fitted_by_every_law_within_five_seconds() -> None:
    generator, rows = np.random.default_rng(0), 100_000
    n, b, s = (10 ** generator.uniform(*ends, rows) for ends in ((6, 10), (4, 6), (3, 6)))
    loss = (1.8172 + 482.01 / n**0.3478 + 2085.43 / (b * s) ** 0.3658) * np.exp(0.02 * generator.standard_normal(rows))
    columns = {"parameters": n.tolist(), "batch_size": b.tolist(), "steps": s.tolist(), "loss": loss.tolist()}
    began = time.process_time()
    laws, _ = fit_laws(LawFitRequest.model_validate({"columns": columns, "critical_batch": {}}))
    assert time.process_time() - began < 5
    law = next(each for each in laws if each.law == "hoffmann")
    assert "exponential weights" in law.interval
    assert law.constant("alpha").low < 0.3478 < law.constant("alpha").high
    assert law.constant("E").low < 1.8172 < law.constant("E").high
