"""The slope from nearby runs: regression and combination against closed forms."""

import math

import pytest
import torch

from hpo.search.portfolio.slope_regression import combined, combined_confidence, regression


def test_many_exact_runs_give_the_slope_and_none_gives_the_prior() -> None:
    offsets = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    mean, variance = regression(offsets, offsets @ slope, noise=1e-3, scale=1.0)
    assert torch.allclose(mean, slope, atol=1e-5) and (variance < 1e-6).all()
    mean, variance = regression(offsets[:0], offsets[:0, 0], noise=1e-3, scale=0.5)
    assert mean.tolist() == [0, 0, 0] and variance.tolist() == [0.25, 0.25, 0.25]


def test_one_run_along_one_axis_is_the_scalar_normal_posterior() -> None:
    offsets = torch.tensor([[0.5, 0.0]], dtype=torch.float64)
    mean, variance = regression(offsets, torch.tensor([0.2], dtype=torch.float64), noise=0.1, scale=2.0)
    precision = 0.5**2 / 0.1**2 + 1 / 2.0**2
    assert float(mean[0]) == pytest.approx(0.5 * 0.2 / 0.1**2 / precision)
    assert variance.tolist() == pytest.approx([1 / precision, 4.0])


def test_estimates_combine_by_inverse_variance_for_each_coordinate() -> None:
    estimates = torch.tensor([[1.0, 1.0, 5.0, 7.0], [4.0, 4.0, 3.0, 9.0]], dtype=torch.float64)
    variances = torch.tensor([[1.0, math.inf, 0.0, math.inf], [2.0, 3.0, 1.0, math.inf]], dtype=torch.float64)
    mean, variance = combined(estimates, variances)
    assert mean.tolist() == pytest.approx([2.0, 4.0, 5.0, 0.0])
    assert variance.tolist() == pytest.approx([2 / 3, 3.0, 0.0, math.inf])


def test_a_combination_has_the_smallest_error_of_three() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.tensor([1.0], dtype=torch.float64)
    noisy = truth + torch.tensor([1.0, 2.0])[:, None] * torch.randn(2, 2000, generator=generator, dtype=torch.float64)
    mean, _ = combined(noisy, torch.tensor([[1.0], [4.0]], dtype=torch.float64).expand(2, 2000))
    error = (mean - truth).square().mean()
    assert error < 0.9 * (noisy[0] - truth).square().mean() and float(error) == pytest.approx(0.8, rel=0.1)


def test_nearby_runs_overrule_gradients_that_disagree_with_each_other_and_not_those_that_agree() -> None:
    offsets = torch.eye(2, dtype=torch.float64).repeat(10, 1)
    rises = offsets @ torch.tensor([0.5, 0.5], dtype=torch.float64)
    wild = torch.tensor([[-30.0, 1.0], [29.0, 1.0]], dtype=torch.float64)
    first, second = combined_confidence(wild, offsets, rises, noise=0.05).tolist()
    assert first > 0.8 and second == 1.0
    assert combined_confidence(torch.zeros(2, 2, dtype=torch.float64), offsets, rises, 0.05).tolist() == [0.0, 0.0]
