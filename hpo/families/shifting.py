"""Random shifts of images, differentiable in how far they go."""

from math import pi

import torch
from torch import Tensor


def shifted(inputs: Tensor, image: tuple[int, int, int], distance: Tensor, noise: Tensor) -> Tensor:
    """Every image moved by ``distance * noise`` pixels, up and to the left.

    The pixel at (i, j) is read at (i + d e_1, j + d e_2), where the image is the sum of cosines through its pixels (its
    discrete cosine transform), so it is mirrored at its borders. Bilinear interpolation would have a kink in d wherever a
    shift is a whole number of pixels; this has every derivative everywhere, and at d = 0 the image itself.

    Args:
        inputs: flattened images, [..., channels * height * width].
        image: (channels, height, width).
        distance: d in pixels, 0-dim or in a shape that goes with [...].
        noise: standard normal e, [..., 2].

    Returns:
        Of the shape of inputs and noise, [..., channels * height * width].
    """
    offsets = distance[..., None] * noise
    rows, columns = (interpolation(offsets[..., axis], size) for axis, size in enumerate(image[1:]))
    moved = rows.unsqueeze(-3) @ inputs.reshape(*inputs.shape[:-1], *image) @ columns.unsqueeze(-3).mT
    return moved.flatten(-3)


def interpolation(offsets: Tensor, size: int) -> Tensor:
    """Matrices that read a line of n pixels so far along, [..., n, n].

    R_ij = 1/n sum_k c_k cos(pi k (i + 1/2 + offset) / n) cos(pi k (j + 1/2) / n), c_0 = 1 and else 2; rows sum to 1.

    Args:
        offsets: distances in pixels, [...].
        size: n, pixels of the line.
    """
    pixels = torch.arange(size, dtype=offsets.dtype, device=offsets.device)
    waves = pi / size * pixels
    basis = torch.cos(waves[:, None] * (pixels + 0.5)) * (2 / size)
    basis[0] /= 2
    return torch.cos((pixels + 0.5 + offsets[..., None])[..., None] * waves) @ basis
