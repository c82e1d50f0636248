"""What a transfer plan has in the forward pass and the loss of training: its criterion, dropout, noise and shifts."""

from collections.abc import Callable, Mapping
from math import pi, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from windtunnel.types.plans import TransferPlan
from windtunnel.types.tasks import TASKS

Criterion = Callable[..., Tensor]


def criterion(plan: TransferPlan, shares: Mapping[str, float] | None = None) -> Criterion:
    """The plan's training loss of a batch, but for the L2 penalty, which ``windtunnel.torch.optimizer`` adds.

    Cross-entropy in nats with the plan's label smoothing, over tokens too where outputs are [batch, context, classes]; mean
    squared error for a regression. Where the plan has mixture weights, the function takes a third argument: the source of
    each example [batch], as indices into ``plan.mixture_weights``.

    Args:
        plan: the transfer plan.
        shares: share of each source in the training data of the large run, by name: weights average to 1 over them.

    Raises:
        ValueError: the plan has mixture weights and the shares do not name its sources, or it has none and they are given.
    """
    weights = plan.mixture_weights
    if set(shares or {}) != set(weights):
        raise ValueError(
            f"shares name {', '.join(shares or {}) or 'no source'}; the plan has mixture weights for "
            f"{', '.join(weights) or 'none'}: give the share of each of them in your training data"
        )
    scales = torch.tensor(
        [weight / sum(weights[name] * share for name, share in (shares or {}).items()) for weight in weights.values()]
    )
    smoothing = plan.regularization.label_smoothing or 0.0
    is_regression = (plan.kind or TASKS[plan.task].kind) == "regression"

    def losses(outputs: Tensor, labels: Tensor) -> Tensor:
        if is_regression:
            return (outputs.squeeze(-1) - labels).square()
        flat = functional.cross_entropy(
            outputs.flatten(0, -2), labels.flatten(), reduction="none", label_smoothing=smoothing
        )
        each = flat.view(labels.shape)
        return each if each.dim() == 1 else each.mean(1)

    def unweighted(outputs: Tensor, labels: Tensor) -> Tensor:
        return losses(outputs, labels).mean()

    def weighted(outputs: Tensor, labels: Tensor, sources: Tensor) -> Tensor:
        each = losses(outputs, labels)
        return (scales.to(each)[sources] * each).mean()

    return weighted if weights else unweighted


class GaussianDropout(nn.Module):
    """Multiplies by ``1 + sqrt(p / (1 - p)) * noise`` while training: mean and variance of dropout at rate p.

    That is what dropout means in a plan (Srivastava et al. 2014, section 10).

    Raises:
        ValueError: the rate is not in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"dropout rate is {rate}; allowed: at least 0, below 1")
        self.rate = rate

    def forward(self, hidden: Tensor) -> Tensor:
        """The hidden values under noise; as they are in evaluation."""
        if not self.training or self.rate == 0:
            return hidden
        return hidden * (1 + sqrt(self.rate / (1 - self.rate)) * torch.randn_like(hidden))


class GaussianNoise(nn.Module):
    """Adds Gaussian noise of a fixed standard deviation while training.

    Raises:
        ValueError: the deviation is negative.
    """

    def __init__(self, deviation: float) -> None:
        super().__init__()
        if deviation < 0:
            raise ValueError(f"deviation of the input noise is {deviation}; allowed: at least 0")
        self.deviation = deviation

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs under noise; as they are in evaluation."""
        return inputs + self.deviation * torch.randn_like(inputs) if self.training else inputs


class RandomShift(nn.Module):
    """Shifts every image by ``distance`` pixels times standard normal noise, along both sides, while training.

    Between its pixels the image is the sum of cosines through them; so it is mirrored at its borders.

    Args:
        distance: standard deviation of the shifts, in pixels.
        image: (channels, height, width); inputs may be flattened, [batch, channels * height * width], or not.

    Raises:
        ValueError: the distance is negative.
    """

    def __init__(self, distance: float, image: tuple[int, int, int]) -> None:
        super().__init__()
        if distance < 0:
            raise ValueError(f"distance of the shifts is {distance}; allowed: at least 0")
        self.distance, self.image = distance, image

    def forward(self, inputs: Tensor) -> Tensor:
        """The images shifted; as they are in evaluation."""
        if not self.training or self.distance == 0:
            return inputs
        offsets = self.distance * torch.randn(len(inputs), 2, dtype=inputs.dtype, device=inputs.device)
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
