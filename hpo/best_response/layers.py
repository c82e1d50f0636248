"""Layers whose weights respond to hyperparameters, for each example by itself.

W(h) = W + diag(V h) W_r and b(h) = b + (C h) * b_r: a row of the weight moves along a learned row, by a learned linear
function of the hyperparameters. So an example with its own h costs one more product with the weights, not weights of its
own (MacKay et al. 2019). For an embedding the rows are its columns, one for each unit.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

Weighted = nn.Linear | nn.Conv2d | nn.Embedding
"""Layers that can respond."""
MOVED = "moved"
"""Name of the buffer that holds h, [batch, k]."""
ANSWER, GAIN, BIAS_ANSWER, BIAS_GAIN = "answer", "gain", "bias_answer", "bias_gain"
"""Names of W_r, V, b_r and C beside the layer's own ``weight`` and ``bias``."""


class Responding(nn.Module):
    """A layer with a response; its own weights keep their names.

    Args:
        layer: the layer without a response.
        coordinates: number k of hyperparameters that it responds to.
    """

    def __init__(self, layer: Weighted, coordinates: int) -> None:
        super().__init__()
        self._layer = (layer,)
        self.weight = layer.weight
        self.channels = channels(layer)
        self.bias = cast("nn.Parameter | None", getattr(layer, "bias", None))
        self.answer = nn.Parameter(torch.empty_like(layer.weight))
        self.gain = nn.Parameter(torch.empty(self.channels, coordinates))
        if self.bias is not None:
            self.bias_answer = nn.Parameter(torch.empty_like(self.bias))
            self.bias_gain = nn.Parameter(torch.empty(self.channels, coordinates))
        self.register_buffer(MOVED, torch.empty(1, coordinates))

    @property
    def is_embedding(self) -> bool:
        """True for an embedding: its inputs are indices, and its columns take the place of rows."""
        return isinstance(self._layer[0], nn.Embedding)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the layer, each example of the first axis under its own h."""
        plain = self._apply_weight(inputs, self.weight, self.bias)
        turned = self._apply_weight(inputs, self.answer, None)
        moved = cast("Tensor", self.moved)
        found = plain + self._spread(moved @ self.gain.mT, turned) * turned
        if self.bias is None:
            return found
        return found + self._spread((moved @ self.bias_gain.mT) * self.bias_answer, found)

    def _apply_weight(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        (layer,) = self._layer
        match layer:
            case nn.Linear():
                return functional.linear(inputs, weight, bias)
            case nn.Conv2d():
                found: Tensor = layer._conv_forward(inputs, weight, bias)
                return found
            case nn.Embedding():
                return functional.embedding(inputs, weight)
        raise TypeError(type(layer).__name__)

    def _spread(self, gains: Tensor, outputs: Tensor) -> Tensor:
        """Gains [batch, channels] reshaped to broadcast with outputs whose channels are second (images) or last."""
        (layer,) = self._layer
        if isinstance(layer, nn.Conv2d):
            return gains[:, :, None, None]
        # The rows of the positions' embedding have no examples in front: every example gets its own.
        between = max(outputs.dim(), 3 if self.is_embedding else 2) - 2
        return gains.view(len(gains), *[1] * between, self.channels)


def channels(layer: Weighted) -> int:
    """Number of rows that the response scales: outputs of a linear layer or a convolution, units of an embedding."""
    return layer.weight.shape[1] if isinstance(layer, nn.Embedding) else layer.weight.shape[0]


def respond(model: nn.Module, coordinates: int) -> list[str]:
    """Names of the linear layers, convolutions and embeddings of a model, to each of which it adds a response in place."""
    found = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, Weighted)]
    for name, layer in found:
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, Responding(layer, coordinates))
    return [name for name, _ in found]
