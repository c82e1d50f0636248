"""Layers for a plan's regularisers in the forward pass: dropout, input noise and shifts, constant or on a schedule."""

from math import pi, sqrt

import torch
from torch import Tensor, nn


class Regulariser(nn.Module):
    """Layer that acts while training, with a strength that ``windtunnel.torch.optimizer`` adjusts to the plan's schedule.

    Args:
        label: name in the plan's ``regulariser_schedule`` of the factors that it follows.
    """

    strength: Tensor | None

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        # A tensor, not a number: compiled code would be rebuilt for each number. Not saved: the optimizer counts updates.
        self.register_buffer("strength", None, persistent=False)

    def strength_at(self, factor: float) -> float:
        """Multiplier of the noise if the plan's value is multiplied by ``factor``."""
        raise NotImplementedError

    def set_factor(self, factor: float) -> None:
        """Use the plan's value times this factor from now on."""
        value = self.strength_at(factor)
        if self.strength is None:
            self.strength = torch.tensor(value)
        else:
            self.strength.fill_(value)

    def reset(self) -> None:
        """Use the plan's value itself from now on."""
        self.strength = None

    def current_strength(self) -> Tensor | float:
        """Multiplier of the noise now."""
        return self.strength_at(1.0) if self.strength is None else self.strength


class GaussianDropout(Regulariser):
    """Multiplies by ``1 + sqrt(p / (1 - p)) * noise`` while training: it has the mean and variance of dropout at rate p.

    Dropout has this meaning in a plan (Srivastava et al. 2014, section 10).

    Args:
        rate: p at the end of the run, as in the plan.
        layer: its layer in the plan's ``layer_dropout``, if each layer has a rate of its own.

    Raises:
        ValueError: the rate is not in [0, 1).
    """

    def __init__(self, rate: float, layer: str | None = None) -> None:
        super().__init__("dropout" if layer is None else f"dropout.{layer}")
        if not 0 <= rate < 1:
            raise ValueError(f"dropout rate is {rate}; allowed: at least 0, below 1")
        self.rate = rate

    def strength_at(self, factor: float) -> float:
        """sqrt(p / (1 - p)), where p is the rate times the factor."""
        rate = self.rate * factor
        return sqrt(rate / (1 - rate))

    def forward(self, hidden: Tensor) -> Tensor:
        """The hidden values times their noise; unchanged in evaluation."""
        if not self.training or self.rate == 0:
            return hidden
        return hidden * (1 + self.current_strength() * torch.randn_like(hidden))


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

    def strength_at(self, factor: float) -> float:
        """Standard deviation of the noise, times the factor."""
        return self.deviation * factor

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs plus their noise; unchanged in evaluation."""
        return inputs + self.current_strength() * torch.randn_like(inputs) if self.training else inputs


class RandomShift(Regulariser):
    """Shifts every image by ``distance`` pixels times standard normal noise, along both sides, while training.

    Between its pixels the image is interpolated by its discrete cosine transform, so it is mirrored at its borders.

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

    def strength_at(self, factor: float) -> float:
        """Standard deviation of the shifts in pixels, times the factor."""
        return self.distance * factor

    def forward(self, inputs: Tensor) -> Tensor:
        """The images, shifted; unchanged in evaluation."""
        if not self.training or self.distance == 0:
            return inputs
        offsets = self.current_strength() * torch.randn(len(inputs), 2, dtype=inputs.dtype, device=inputs.device)
        rows, columns = (_interpolation(offsets[:, axis], size) for axis, size in enumerate(self.image[1:]))
        moved = rows[:, None] @ inputs.reshape(-1, *self.image) @ columns[:, None].mT
        return moved.reshape(inputs.shape)


def _interpolation(offsets: Tensor, size: int) -> Tensor:
    """Matrices [batch, size, size] that shift a line of ``size`` pixels by ``offsets`` [batch], by its cosine transform."""
    pixels = torch.arange(size, dtype=offsets.dtype, device=offsets.device)
    waves = pi / size * pixels
    basis = torch.cos(waves[:, None] * (pixels + 0.5)) * (2 / size)
    basis[0] /= 2
    return torch.cos((pixels + 0.5 + offsets[:, None])[:, :, None] * waves) @ basis
