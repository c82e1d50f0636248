"""Tangent kernel and linearisation error of models whose closed form is known."""

import pytest
import torch
from torch import Tensor

from hpo.evidence.coordinates.kernel import linearisation_error, relative_change, tangent_kernel


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(weights, inputs: Tensor) -> Tensor:
    weight, bias = weights
    return inputs @ weight.T + bias


def product(weights, inputs: Tensor) -> Tensor:
    """f(x) = V U x, bilinear in its weights."""
    below, above = weights
    return inputs @ below.T @ above.T


INPUTS = draw(5, 4)
START, END = [draw(3, 4, seed=1), draw(3, seed=2)], [draw(3, 4, seed=3), draw(3, seed=4)]
BELOW, ABOVE = [draw(6, 4, seed=5), draw(2, 6, seed=6)], [draw(6, 4, seed=7), draw(2, 6, seed=8)]


def test_a_linear_model_is_its_own_linearisation_and_its_kernel_stands_still() -> None:
    assert linearisation_error(linear, START, END, INPUTS) < 1e-6
    kernels = [tangent_kernel(linear, weights, INPUTS, draw(3), [1.0, 1.0]) for weights in (START, END)]
    assert relative_change(*kernels) == 0.0


def test_the_error_of_a_bilinear_model_is_the_product_of_its_moves() -> None:
    """(V + dV)(U + dU) x - V U x = dV U x + V dU x + dV dU x, of which the linearisation has all but the last."""
    (first, second), (last, final) = BELOW, ABOVE
    missing = INPUTS @ (last - first).T @ (final - second).T
    moved = product(ABOVE, INPUTS) - product(BELOW, INPUTS)
    found = linearisation_error(product, BELOW, ABOVE, INPUTS)
    assert found == pytest.approx((missing.norm() / moved.norm()).item(), rel=1e-5)


def test_a_quadratic_model_has_half_its_change_in_the_error_as_the_start_goes_to_zero() -> None:
    """f = x w^2: change 2 w d + d^2, error d^2; all of it from w = 0."""

    def square(weights, inputs: Tensor) -> Tensor:
        return inputs * weights[0].square()

    def error(start: float, move: float) -> float:
        return linearisation_error(square, [torch.tensor([start])], [torch.tensor([start + move])], INPUTS[:, :1])

    assert error(1.0, 0.5) == pytest.approx(0.25 / 1.25, rel=1e-5)
    assert error(0.0, 0.5) == pytest.approx(1.0)
    assert error(1.0, 0.0) == 0.0


def test_the_kernel_is_the_gram_matrix_of_gradients() -> None:
    """K_ij = <x_i, x_j> (rate_U |V^T p|^2) + rate_V |p|^2 <U x_i, U x_j> for f = p . V U x."""
    below, above = BELOW
    along, rates = draw(2, seed=9), [0.3, 2.0]
    hidden = INPUTS @ below.T
    expected = rates[0] * (above.T @ along).square().sum() * (INPUTS @ INPUTS.T)
    expected = expected + rates[1] * along.square().sum() * (hidden @ hidden.T)
    found = tangent_kernel(product, BELOW, INPUTS, along, rates)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-4)


def test_random_directions_give_the_sum_over_outputs_in_the_mean() -> None:
    def summed(rates: list[float]) -> Tensor:
        return sum((tangent_kernel(product, BELOW, INPUTS, unit, rates) for unit in torch.eye(2)), torch.zeros(5, 5))

    draws = [tangent_kernel(product, BELOW, INPUTS, draw(2, seed=100 + index), [1.0, 1.0]) for index in range(300)]
    mean, wanted = torch.stack(draws).mean(0), summed([1.0, 1.0])
    # 300 draws of a sum of squares scatter by about .08.
    assert relative_change(wanted.double(), mean) < 0.2


def test_of_a_text_the_last_position_is_read() -> None:
    def text(weights, inputs: Tensor) -> Tensor:
        return torch.stack([inputs * 0, inputs], 1) @ weights[0].T

    weight = [draw(3, 4, seed=1)]
    along = draw(3)
    expected = along.square().sum() * (INPUTS @ INPUTS.T)
    torch.testing.assert_close(tangent_kernel(text, weight, INPUTS, along, [1.0]), expected.double(), rtol=1e-4, atol=1e-4)


def test_relative_change_is_in_frobenius_norms() -> None:
    before = torch.eye(2)
    assert relative_change(before, 3 * before) == pytest.approx(2.0)
    assert relative_change(torch.zeros(2), torch.zeros(2)) == 0.0
