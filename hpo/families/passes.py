"""Layers whose derivatives are written by hand, for a population: forward, backward, and both along a direction.

``backward`` gives the gradient by what went in. ``r_forward`` and ``r_backward`` are the derivatives of ``forward`` and
``backward`` when the weights move along a direction (the R-operator of Pearlmutter 1994, "Fast exact multiplication by the
Hessian"): together a Hessian-vector product, in the products that it takes and with few passes over memory beside them.
Automatic differentiation makes the second derivatives of normalisation, softmax and activation out of three times as many.

Every layer is called in the order forward, backward, r_forward, r_backward, and keeps what the later calls need. All
tensors have the members in front: hidden values [members, rows, width], a row for every token.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from math import pi, sqrt

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-5
"""Added to the variance, as in ``torch.nn.functional.layer_norm``."""


class Passes(ABC):
    """One evaluation of a model at given weights, and its derivatives there."""

    @abstractmethod
    def forward(self) -> Tensor:
        """Outputs, as of ``Proxy.population``."""

    @abstractmethod
    def backward(self, slope: Tensor) -> list[Tensor]:
        """Gradient by every weight of a loss with this slope by the outputs."""

    @abstractmethod
    def r_forward(self, directions: Sequence[Tensor]) -> Tensor:
        """Derivative of the outputs along a direction of the weights, given as the weights are."""

    @abstractmethod
    def r_backward(self, slope: Tensor, wanted: Collection[str]) -> tuple[list[Tensor], Mapping[str, Tensor]]:
        """Derivative along that direction of the gradient that ``backward`` last gave.

        Args:
            slope: derivative along the direction of the slope that ``backward`` was given.
            wanted: dials whose derivative of the loss is differentiated, too.

        Returns:
            By weight, as the weights are; and by dial, as the dials are.
        """


class Linear:
    """y = x W^T."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [members, rows, fan-out] of inputs [members, rows, fan-in]."""
        self.inputs = inputs
        return torch.bmm(inputs, self.weight.mT)

    def backward(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient by the inputs and by the weight."""
        self.slope = slope
        return torch.bmm(slope, self.weight), torch.bmm(slope.mT, self.inputs)

    def r_forward(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """Derivative of the outputs along a direction of inputs and weight."""
        self.moved, self.direction = inputs, weight
        return torch.bmm(inputs, self.weight.mT).baddbmm_(self.inputs, weight.mT)

    def r_backward(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of the two gradients of ``backward`` along the direction."""
        by_weight = torch.bmm(slope.mT, self.inputs).baddbmm_(self.slope.mT, self.moved)
        return torch.bmm(slope, self.weight).baddbmm_(self.slope, self.direction), by_weight


class Normalisation:
    """y = (x - mean) / sqrt(variance + eps) over the last axis: ``normalised`` over one dimension.

    With r = 1 / sqrt(variance + eps) the derivative of y is r P, where P z = z - mean(z) - y mean(y z) is symmetric.
    """

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalised values, in the shape of the hidden values [members, rows, width]."""
        self.hidden = hidden
        self.mean = hidden.mean(-1, keepdim=True)
        centred = hidden - self.mean
        variance = torch.linalg.vecdot(centred, centred).unsqueeze(-1) / hidden.shape[-1]
        self.root = variance.add_(EPSILON).rsqrt_()
        self.normal = centred.mul_(self.root)
        return self.normal

    def backward(self, slope: Tensor) -> Tensor:
        """Gradient by the hidden values."""
        self.slope, self.projected = slope, self._times(slope)
        return self.projected

    def r_forward(self, moved: Tensor) -> Tensor:
        """Derivative of the normalised values along a direction of the hidden values; that of r is - r^2 mean(y dx)."""
        self.shrunk = self._along(moved).mul_(self.root)
        self.moved = self._times(moved)
        return self.moved

    def r_backward(self, slope: Tensor) -> Tensor:
        """Derivative of ``backward``'s gradient r P g along the direction: through g, both y in P, and r."""
        crossed = (torch.linalg.vecdot(self.slope, self.moved).unsqueeze(-1) / slope.shape[-1]).mul_(self.root)
        found = self._times(slope).addcmul_(self.normal, crossed, value=-1)
        found.addcmul_(self.moved, self._along(self.slope).mul_(self.root), value=-1)
        return found.addcmul_(self.projected, self.shrunk, value=-1)

    def _along(self, vector: Tensor) -> Tensor:
        along: Tensor = torch.linalg.vecdot(vector, self.normal)
        return along.unsqueeze(-1) / vector.shape[-1]

    def _times(self, vector: Tensor) -> Tensor:
        """r P z, in one kernel."""
        shape, wanted = [vector.shape[-1]], [True, False, False]
        found: Tensor = torch.ops.aten.native_layer_norm_backward(
            vector, self.hidden, shape, self.mean, self.root, None, None, wanted
        )[0]
        return found


Derivatives = Callable[[Tensor, Tensor], Tensor]
"""(inputs, outputs of the activation) -> a derivative of it at the inputs."""


def _gelu_slope(inputs: Tensor, outputs: Tensor) -> Tensor:  # noqa: ARG001
    found: Tensor = torch.ops.aten.gelu_backward(torch.ones_like(inputs), inputs)
    return found


def _gelu_bend(inputs: Tensor, outputs: Tensor) -> Tensor:  # noqa: ARG001
    """(2 - x^2) phi(x), phi the standard normal density."""
    squares = inputs.square()
    density = (squares * -0.5).exp_()
    return squares.sub_(2).mul_(density).mul_(-1 / sqrt(2 * pi))


def _tanh_slope(inputs: Tensor, outputs: Tensor) -> Tensor:  # noqa: ARG001
    return 1 - outputs.square()


def _tanh_bend(inputs: Tensor, outputs: Tensor) -> Tensor:  # noqa: ARG001
    return 2 * outputs * (outputs.square() - 1)


def _relu_slope(inputs: Tensor, outputs: Tensor) -> Tensor:  # noqa: ARG001
    return outputs.sign()


def _silu_slope(inputs: Tensor, outputs: Tensor) -> Tensor:
    """s + y (1 - s) with s = sigmoid(x), y = x s."""
    share = inputs.sigmoid()
    return share.addcmul(outputs, 1 - share)


def _silu_bend(inputs: Tensor, outputs: Tensor) -> Tensor:
    """s (1 - s) (2 + x (1 - 2 s))."""
    share = inputs.sigmoid()
    return share * (1 - share) * (2 + inputs - 2 * outputs)


CURVES: dict[str, tuple[Callable[[Tensor], Tensor], Derivatives, Derivatives | None]] = {
    "relu": (functional.relu, _relu_slope, None),
    "gelu": (functional.gelu, _gelu_slope, _gelu_bend),
    "tanh": (torch.tanh, _tanh_slope, _tanh_bend),
    "silu": (functional.silu, _silu_slope, _silu_bend),
}
"""Name of an activation -> itself, its first and its second derivative; None where that is 0."""


class Activation:
    """An activation, value by value.

    Args:
        name: a name in ``CURVES``.
    """

    def __init__(self, name: str) -> None:
        self.curve, self.first, self.second = CURVES[name]

    def forward(self, inputs: Tensor) -> Tensor:
        """Values of the activation, in the shape of its inputs."""
        self.inputs = inputs
        self.outputs = self.curve(inputs)
        return self.outputs

    def backward(self, slope: Tensor) -> Tensor:
        """Gradient by the inputs."""
        self.steepness, self.slope = self.first(self.inputs, self.outputs), slope
        return slope * self.steepness

    def r_forward(self, moved: Tensor) -> Tensor:
        """Derivative of the values along a direction of the inputs."""
        self.moved = moved
        return moved * self.steepness

    def r_backward(self, slope: Tensor) -> Tensor:
        """Derivative of ``backward``'s gradient along the direction; uses up the memory of its argument."""
        found = slope.mul_(self.steepness)
        if self.second is None:
            return found
        return found.add_(self.second(self.inputs, self.outputs).mul_(self.slope).mul_(self.moved))


class Dropout:
    """Gaussian multiplicative noise at a given draw: y = x (1 + c eps), c = sqrt(p / (1 - p)). Changes nothing without p.

    Args:
        rate: p, [members]; None where dropout is off.
        noise: eps, of the shape of the hidden values.
    """

    def __init__(self, rate: Tensor | None, noise: Tensor | None) -> None:
        self.rate, self.noise = rate, noise
        self.factor = None if rate is None or noise is None else 1 + (rate / (1 - rate)).sqrt()[:, None, None] * noise

    def forward(self, hidden: Tensor) -> Tensor:
        """Values after the noise, in the shape of the hidden values [members, rows, width]."""
        self.hidden = hidden
        return self._times(hidden)

    def backward(self, slope: Tensor) -> Tensor:
        """Gradient by the hidden values."""
        self.slope = slope
        return self._times(slope)

    def r_forward(self, moved: Tensor) -> Tensor:
        """Derivative of the values along a direction of the hidden values."""
        self.moved = moved
        return self._times(moved)

    def r_backward(self, slope: Tensor) -> Tensor:
        """Derivative of the gradient of ``backward`` along the direction."""
        return self._times(slope)

    def r_rate(self, slope: Tensor) -> Tensor:
        """Derivative along the direction of the gradient by p, [members]; the argument is that of ``r_backward``."""
        assert self.rate is not None and self.noise is not None
        turned = (slope * self.hidden).addcmul_(self.slope, self.moved)
        by_deviation = (turned * self.noise).sum((1, 2))
        return by_deviation / (2 * (self.rate * (1 - self.rate) ** 3).sqrt())

    def _times(self, values: Tensor) -> Tensor:
        return values if self.factor is None else values * self.factor
