"""Layers for what a plan has in the forward pass of training: dropout, input noise, shifts; at rest or on a schedule."""

from math import pi, sqrt

import torch
from torch import Tensor, nn


class Regulariser(nn.Module):
    """Acts while training, with a strength that ``windtunnel.torch.optimizer`` moves where the plan has a schedule for it.

    Args:
        label: whose factors of the plan's ``regulariser_schedule`` move it.
    """

    strength: Tensor | None

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        # A tensor and no number: compiled code would be made anew for each number. Not saved: the optimizer counts updates.
        self.register_buffer("strength", None, persistent=False)

    def at_rest(self, factor: float) -> float:
        """What the noise is multiplied by, with the value of the plan times a factor."""
        raise NotImplementedError

    def move(self, factor: float) -> None:
        """From now on the plan's value times this factor."""
        value = self.at_rest(factor)
        if self.strength is None:
            self.strength = torch.tensor(value)
        else:
            self.strength.fill_(value)

    def rest(self) -> None:
        """From now on the plan's value itself."""
        self.strength = None

    def in_force(self) -> Tensor | float:
        """What the noise is multiplied by now."""
        return self.at_rest(1.0) if self.strength is None else self.strength


class GaussianDropout(Regulariser):
    """Multiplies by ``1 + sqrt(p / (1 - p)) * noise`` while training: mean and variance of dropout at rate p.

    That is what dropout means in a plan (Srivastava et al. 2014, section 10).

    Args:
        rate: p at the end of the run, as in the plan.
        layer: which layer of the plan's ``layer_dropout`` it is, where each has its own.

    Raises:
        ValueError: the rate is not in [0, 1).
    """

    def __init__(self, rate: float, layer: str | None = None) -> None:
        super().__init__("dropout" if layer is None else f"dropout.{layer}")
        if not 0 <= rate < 1:
            raise ValueError(f"dropout rate is {rate}; allowed: at least 0, below 1")
        self.rate = rate

    def at_rest(self, factor: float) -> float:
        """sqrt(p / (1 - p))"""
        rate = self.rate * factor
        return sqrt(rate / (1 - rate))

    def forward(self, hidden: Tensor) -> Tensor:
        """The hidden values under noise; as they are in evaluation."""
        if not self.training or self.rate == 0:
            return hidden
        return hidden * (1 + self.in_force() * torch.randn_like(hidden))


class GaussianNoise(Regulariser):
    """Adds Gaussian noise of a given standard deviation while training.

    Raises:
        ValueError: the deviation is negative.
    """

    def __init__(self, deviation: float) -> None:
        super().__init__("input_noise")
        if deviation < 0:
            raise ValueError(f"deviation of the input noise is {deviation}; allowed: at least 0")
        self.deviation = deviation

    def at_rest(self, factor: float) -> float:
        """The deviation."""
        return self.deviation * factor

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs under noise; as they are in evaluation."""
        return inputs + self.in_force() * torch.randn_like(inputs) if self.training else inputs


class RandomShift(Regulariser):
    """Shifts every image by ``distance`` pixels times standard normal noise, along both sides, while training.

    Between its pixels the image is the sum of cosines through them; so it is mirrored at its borders.

    Args:
        distance: standard deviation of the shifts, in pixels.
        image: (channels, height, width); inputs may be flattened, [batch, channels * height * width], or not.

    Raises:
        ValueError: the distance is negative.
    """

    def __init__(self, distance: float, image: tuple[int, int, int]) -> None:
        super().__init__("augmentation")
        if distance < 0:
            raise ValueError(f"distance of the shifts is {distance}; allowed: at least 0")
        self.distance, self.image = distance, image

    def at_rest(self, factor: float) -> float:
        """The distance."""
        return self.distance * factor

    def forward(self, inputs: Tensor) -> Tensor:
        """The images shifted; as they are in evaluation."""
        if not self.training or self.distance == 0:
            return inputs
        offsets = self.in_force() * torch.randn(len(inputs), 2, dtype=inputs.dtype, device=inputs.device)
        rows, columns = (_interpolation(offsets[:, axis], size) for axis, size in enumerate(self.image[1:]))
        moved = rows[:, None] @ inputs.reshape(-1, *self.image) @ columns[:, None].mT
        return moved.reshape(inputs.shape)


def _interpolation(offsets: Tensor, size: int) -> Tensor:
    """Matrices that read a line of pixels so far along, by its discrete cosine transform, [batch, size, size]."""
    pixels = torch.arange(size, dtype=offsets.dtype, device=offsets.device)
    waves = pi / size * pixels
    basis = torch.cos(waves[:, None] * (pixels + 0.5)) * (2 / size)
    basis[0] /= 2
    return torch.cos((pixels + 0.5 + offsets[:, None])[:, :, None] * waves) @ basis
