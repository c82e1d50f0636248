"""The gain of a job is the paired difference over the fresh seeds."""

import math

import pytest
import torch
from scipy import stats

from hpo.report import gain
from hpo.training.evaluation import Judged


def judged(*validation: list[float]) -> Judged:
    losses = torch.tensor(validation, dtype=torch.float64)
    return Judged(losses, torch.ones_like(losses), None, None)


def test_it_is_the_mean_of_the_differences_and_its_error_that_of_a_paired_test():
    generator = torch.Generator().manual_seed(0)
    start = 1 + torch.randn(8, generator=generator, dtype=torch.float64)
    best = start - 0.05 + 0.01 * torch.randn(8, generator=generator, dtype=torch.float64)
    found = gain(judged(start.tolist(), [9.0] * 8, best.tolist()), 2)
    assert found is not None
    assert found.mean / found.stderr == pytest.approx(stats.ttest_rel(start.numpy(), best.numpy()).statistic)
    # Seeds that differ by far more than the two points do: seen together, the gain is plain.
    assert found.beyond_noise and float(start.std()) > 10 * found.mean


def test_chance_on_common_seeds_is_no_gain():
    found = gain(judged([1.0, 2.0, 3.0, 4.0], [1.1, 1.9, 3.1, 3.8]), 1)
    assert found is not None and found.mean == pytest.approx(0.025) and not found.beyond_noise


def test_the_start_itself_gains_nothing():
    found = gain(judged([1.0, 2.0]), 0)
    assert found is not None and (found.mean, found.stderr, found.words) == (0.0, 0.0, "no gain beyond noise")


@pytest.mark.parametrize(("start", "seeds"), [([math.inf] * 3, 0), ([1.0, math.inf, math.inf], 1)])
def test_one_common_seed_has_no_error_to_hold_a_gain_against(start, seeds):
    assert sum(map(math.isfinite, start)) == seeds
    assert gain(judged(start, [0.5, 0.5, 0.5]), 1) is None
