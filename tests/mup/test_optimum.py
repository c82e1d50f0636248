"""The minimum of a curve and its interval, against closed forms and against counting how often the interval is right."""

import math

import numpy as np
import pytest

from hpo.evidence.optimum import LEVEL, drift, optimum

XS = [math.log(2) * k for k in (-2, -1, 0, 1, 2)]


def curve(centre: float, curvature: float = 0.1, floor: float = 1.0) -> list[float]:
    return [floor * math.exp(curvature * (x - centre) ** 2) for x in XS]


def test_the_vertex_of_a_parabola_is_found_exactly() -> None:
    found = optimum(XS, [[loss, 1.5 * loss] for loss in curve(0.3)])
    assert found.location == pytest.approx(0.3) and found.curvature == pytest.approx(0.1)
    assert found.low == pytest.approx(0.3) and found.high == pytest.approx(0.3)
    assert found.loss == pytest.approx(math.sqrt(1.5))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits, bracketed = 0, 0
    for _ in range(400):
        # Common random numbers: a seed shifts its whole curve, and each run has noise of its own.
        noise = random.normal(0, 0.3, (1, 4)) + random.normal(0, 0.02, (5, 4))
        losses = np.array(curve(0.2))[:, None] * np.exp(noise)
        found = optimum(XS, losses.tolist())
        bracketed += found.is_bracketed
        hits += found.low <= 0.2 <= found.high
    assert bracketed > 390
    # 400 draws: the share scatters by .011.
    assert abs(hits / 400 - LEVEL) < 0.035


def test_where_the_curvature_is_lost_in_noise_the_interval_is_open() -> None:
    random = np.random.default_rng(1)
    open_ends = 0
    for _ in range(50):
        losses = np.array(curve(0.0, curvature=0.001))[:, None] * np.exp(random.normal(0, 0.05, (5, 4)))
        open_ends += not optimum(XS, losses.tolist()).is_bracketed
    assert open_ends > 40


@pytest.mark.parametrize(("centre", "low_is_open"), [(-5.0, True), (5.0, False)])
def test_a_minimum_at_the_end_of_the_grid_is_open_on_that_side(centre: float, low_is_open: bool) -> None:
    found = optimum(XS, [[loss, loss] for loss in curve(centre)])
    assert not found.is_bracketed and math.isinf(found.low) is low_is_open and math.isinf(found.high) is not low_is_open
    assert found.location == (XS[0] if low_is_open else XS[-1])


def test_a_minimum_lies_below_the_value_that_diverged() -> None:
    losses = [[loss, loss] for loss in curve(0.0)]
    losses[3] = [1.0, math.inf]
    found = optimum(XS, losses)
    # Three values are left, and the best of them is the last: a parabola through them, open beyond nothing.
    assert found.location == pytest.approx(0.0) and found.is_bracketed
    losses[2] = [1.0, math.inf]
    found = optimum(XS, losses)
    assert found.location == XS[1] and (found.low, found.high) == (-math.inf, XS[2])


def test_too_little_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="at least three rising"):
        optimum([0.0, 1.0], [[1.0, 1.0], [2.0, 2.0]])
    with pytest.raises(ValueError, match="at least two seeds"):
        optimum(XS, [[loss] for loss in curve(0.0)])
    with pytest.raises(ValueError, match="survived"):
        optimum(XS, [[math.inf, 1.0]] * 5)


def curves(drift: float, zs: list[float], noise: float, seed: int) -> list[list[list[float]]]:
    random = np.random.default_rng(seed)
    return [
        (np.array(curve(drift * z))[:, None] * np.exp(random.normal(0, noise, (5, 4)))).tolist() for z in zs
    ]  # fmt: skip


ZS = [-1.0, 0.0, 1.0, 2.0]


def test_the_drift_of_exact_curves_is_exact() -> None:
    found = drift(ZS, XS, curves(0.2, ZS, 0.0, 0))
    assert found is not None and found.slope == pytest.approx(0.2) and found.curvature == pytest.approx(0.1)
    assert found.low == pytest.approx(0.2) and found.high == pytest.approx(0.2)


def test_the_interval_of_the_drift_covers_the_truth_as_often_as_it_says() -> None:
    hits, lengths = 0, []
    for seed in range(300):
        found = drift(ZS, XS, curves(0.2, ZS, 0.05, seed))
        assert found is not None
        hits += found.low <= 0.2 <= found.high
        lengths.append(found.high - found.low)
    # 300 draws scatter by .013; taking the larger of two variances errs on the wide side.
    assert LEVEL - 0.03 < hits / 300 <= 1
    assert np.median(lengths) < 0.5


def test_curves_that_are_too_noisy_alone_have_a_drift_together() -> None:
    tables = curves(0.2, ZS, 0.12, 3)
    assert sum(not optimum(XS, table).is_bracketed for table in tables) >= 2
    found = drift(ZS, XS, tables)
    assert found is not None and math.isfinite(found.low) and math.isfinite(found.high)


def test_a_curve_whose_runs_diverged_is_left_out() -> None:
    tables = curves(0.2, ZS, 0.0, 0)
    tables[0] = [[math.inf] * 4] * 5
    found = drift(ZS, XS, tables)
    assert found is not None and found.slope == pytest.approx(0.2)
    assert drift(ZS[:2], XS, tables[:2]) is None
