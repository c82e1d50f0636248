"""Spectral norms against torch.linalg."""

import math

import pytest
import torch

from hpo.evidence.coordinates.spectral import SMALL, relative_spectral_norm, spectral_norm


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(64, 64), (10, 512), (512, 10), (SMALL, SMALL), (300, 400), (512, 512), (700, 300)])
def test_the_norm_is_the_largest_singular_value(shape: tuple[int, int]) -> None:
    matrix = draw(*shape)
    assert spectral_norm(matrix) == pytest.approx(torch.linalg.matrix_norm(matrix, ord=2).item(), rel=2e-3)


@pytest.mark.parametrize("rank", [1, 3, 20])
def test_matrices_of_low_rank_are_exact(rank: int) -> None:
    """As the changes of a few steps are: Lanczos has seen the whole space when it ends."""
    matrix = draw(400, rank) @ draw(rank, 300)
    assert spectral_norm(matrix) == pytest.approx(torch.linalg.matrix_norm(matrix, ord=2).item(), rel=1e-4)


def test_nothing_has_norm_zero_and_overflow_an_infinite_one() -> None:
    assert spectral_norm(torch.zeros(400, 300)) == 0.0
    assert relative_spectral_norm(torch.zeros(8, 4)) == 0.0
    assert relative_spectral_norm(torch.tensor([[1.0, math.nan]])) == math.inf


def test_norms_are_relative_to_the_root_of_the_fans() -> None:
    assert relative_spectral_norm(3 * torch.eye(5)) == pytest.approx(3.0)
    matrix = draw(20, 5)
    assert relative_spectral_norm(matrix) == pytest.approx(torch.linalg.matrix_norm(matrix, ord=2).item() / 2)


def test_a_convolution_is_the_matrix_of_its_windows() -> None:
    kernel = draw(6, 4, 3, 3)
    expected = torch.linalg.matrix_norm(kernel.reshape(6, 36), ord=2).item() / math.sqrt(6 / 36)
    assert relative_spectral_norm(kernel) == pytest.approx(expected)


def test_matrices_in_one_tensor_are_the_matrix_of_all_their_outputs() -> None:
    """[experts, fan_in, fan_out], and a transposed convolution [fan_in, fan_out, window]."""
    experts, window = draw(3, 8, 5), draw(4, 6, 3)
    for packed, over, rows in (
        (experts, [1], torch.cat([each.T for each in experts])),
        (window, [0, 2], torch.stack([window[:, index].flatten() for index in range(6)])),
        (experts[0], [0], experts[0].T),
    ):
        fan_out, fan_in = rows.shape
        expected = torch.linalg.matrix_norm(rows, ord=2).item() / math.sqrt(fan_out / fan_in)
        assert relative_spectral_norm(packed, over=over) == pytest.approx(expected)


def test_of_a_table_single_rows_are_put_out() -> None:
    table = torch.tensor([[3.0, 4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert relative_spectral_norm(table, lookup=True) == pytest.approx(5.0 / 2)
