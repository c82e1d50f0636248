"""Model families whose width and depth can be chosen. Weights are left to the parametrization to initialise."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
}


class MLP(nn.Module):
    """Fully connected classifier: ``depth`` hidden layers of ``width`` units, then a linear readout.

    Args:
        features: length of one input.
        classes: number of logits.
        width: units of each hidden layer.
        depth: number of hidden layers, at least 1.
        activation: a name in ``ACTIVATIONS``.
    """

    def __init__(self, features: int, classes: int, width: int, depth: int, activation: str = "relu") -> None:
        super().__init__()
        fans = [features, *[width] * (depth - 1)]
        self.layers = nn.ModuleList(nn.Linear(fan_in, width) for fan_in in fans)
        self.readout = nn.Linear(width, classes)
        self.activation = ACTIVATIONS[activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [batch, classes] of inputs [batch, features]."""
        hidden = inputs
        for layer in self.layers:
            hidden = self.activation(layer(hidden))
        logits: Tensor = self.readout(hidden)
        return logits

    def activations(self, inputs: Tensor) -> dict[str, Tensor]:
        """Output of every linear layer before its nonlinearity, by module name; ``readout`` gives the logits."""
        outputs: dict[str, Tensor] = {}
        hidden = inputs
        for index, layer in enumerate(self.layers):
            outputs[f"layers.{index}"] = layer(hidden)
            hidden = self.activation(outputs[f"layers.{index}"])
        outputs["readout"] = self.readout(hidden)
        return outputs
