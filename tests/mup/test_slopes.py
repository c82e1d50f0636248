"""Exponents over width and their intervals: exact on power laws, and as wide as the seeds scatter."""

import math
import random

import pytest
from scipy import stats

from hpo.evidence.slopes import LARGEST, interval, log_log_slope, slope_over_seeds, student_t


def test_slopes_are_exponents_of_power_laws() -> None:
    assert log_log_slope([64, 128, 256], [3.0, 6.0, 12.0]) == pytest.approx(1.0)
    assert log_log_slope([64, 256], [1.0, 0.5]) == pytest.approx(-0.5)
    assert log_log_slope([64, 128], [0.0, 1.0]) is None
    assert log_log_slope([1, 2], [1.0, math.inf]) == pytest.approx(math.log2(LARGEST))
    with pytest.raises(ValueError, match="two widths"):
        log_log_slope([64], [1.0])


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 10, 63])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9875])
def test_quantiles_are_those_of_student(freedom: int, confidence: float) -> None:
    assert student_t(confidence, freedom) == pytest.approx(stats.t.ppf((1 + confidence) / 2, freedom), rel=1e-6)


def test_intervals_are_those_of_the_one_sample_t_test() -> None:
    values = [0.3, 0.1, 0.45, 0.2]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = interval(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert interval([1.0]).high == math.inf


def test_seeds_that_follow_one_law_at_different_sizes_leave_no_doubt() -> None:
    widths = [64, 128, 256]
    found = slope_over_seeds(widths, [[2 * width**0.4, 5 * width**0.4] for width in widths])
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.4, 0.4))
    assert slope_over_seeds([64, 128], [[1.0, 0.0], [1.0, 1.0]]) is None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Noise that the widths of a seed share in part, as runs from the same random numbers do."""
    draw, widths, hits, trials = random.Random(0), [64, 128, 256, 512], 0, 600
    for _ in range(trials):
        columns = []
        for _ in range(3):
            shared = draw.gauss(0, 0.2)
            columns.append([math.exp(0.12 * math.log(width) + shared + draw.gauss(0, 0.2)) for width in widths])
        found = slope_over_seeds(widths, list(zip(*columns, strict=True)))
        assert found is not None
        hits += found.low <= 0.12 <= found.high
    # Three standard errors of a share of .95 over 600 trials are .027.
    assert abs(hits / trials - 0.95) < 0.03
