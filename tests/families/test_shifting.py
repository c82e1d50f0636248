"""Random shifts of images: the image itself at no shift, its mirror image beyond the border, smooth in between."""

import pytest
import torch

import windtunnel.torch
from hpo.families.shifting import interpolation, shifted

IMAGE = (2, 5, 4)


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def at(*offset: float) -> torch.Tensor:
    return torch.tensor([offset], dtype=torch.float64)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (0, -2), (3, 2)])
def test_a_whole_number_of_pixels_moves_pixels_and_mirrors_at_the_border(down: int, right: int) -> None:
    inputs = images(1)
    found = shifted(inputs, IMAGE, torch.tensor(1.0, dtype=torch.float64), at(down, right))
    mirrored = inputs.view(1, *IMAGE)
    mirrored = torch.cat([mirrored.flip(2), mirrored, mirrored.flip(2)], dim=2)
    mirrored = torch.cat([mirrored.flip(3), mirrored, mirrored.flip(3)], dim=3)
    expected = mirrored[:, :, 5 + down : 10 + down, 4 + right : 8 + right]
    torch.testing.assert_close(found.view(1, *IMAGE), expected, rtol=1e-12, atol=1e-12)


def test_a_cosine_is_read_between_its_pixels_as_it_is() -> None:
    pixels = torch.arange(8, dtype=torch.float64) + 0.5
    offsets = torch.tensor([0.3, -1.7], dtype=torch.float64)
    for waves in range(8):
        line = torch.cos(torch.pi * waves * pixels / 8)
        expected = torch.cos(torch.pi * waves * (pixels + offsets[:, None]) / 8)
        torch.testing.assert_close(interpolation(offsets, 8) @ line, expected, rtol=0, atol=1e-12)


def test_every_derivative_in_the_distance_is_a_difference_quotient_also_at_whole_pixels() -> None:
    inputs, noise = images(3), torch.tensor([[1.0, 0.0], [-2.0, 1.0], [0.4, 0.9]], dtype=torch.float64)
    weights = images(6)[3:]

    def value(distance: torch.Tensor) -> torch.Tensor:
        return (shifted(inputs, IMAGE, distance, noise) * weights).sum()

    slope = torch.func.grad(value)
    one, width = torch.tensor(1.0, dtype=torch.float64), 1e-5
    assert float(slope(one)) == pytest.approx(float(value(one + width) - value(one - width)) / (2 * width), rel=1e-7)
    bend = (slope(one + width) - slope(one - width)) / (2 * width)
    assert float(torch.func.grad(slope)(one)) == pytest.approx(float(bend), rel=1e-7)


def test_the_module_of_a_loop_of_ones_own_makes_the_same_shifts() -> None:
    shift, inputs = windtunnel.torch.RandomShift(0.7, IMAGE), images(4)
    torch.manual_seed(2)
    noise = torch.randn(4, 2, dtype=torch.float64)
    expected = shifted(inputs, IMAGE, torch.tensor(0.7, dtype=torch.float64), noise)
    for given in (inputs, inputs.view(4, *IMAGE)):
        torch.manual_seed(2)
        torch.testing.assert_close(shift(given).flatten(1), expected)
    assert shift.eval()(inputs) is inputs
    with pytest.raises(ValueError, match="at least 0"):
        windtunnel.torch.RandomShift(-1.0, IMAGE)
