"""A module with an embedding, a norm with gains, a stack of layers and a scalar parameter."""

import torch
from torch import nn


class Sums(nn.Module):
    """Tokens [batch, 6] -> logits [batch, 3]."""

    def __init__(self, width, depth):
        super().__init__()
        self.embedding = nn.Embedding(3, width)
        self.position = nn.Parameter(0.5 * torch.randn(6, width))
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.temperature = nn.Parameter(torch.tensor(0.5))
        self.head = nn.Linear(width, 3)

    def forward(self, tokens):
        """Logits."""
        hidden = self.embedding(tokens) + self.position
        for layer in self.layers:
            hidden = hidden + torch.tanh(layer(hidden))
        return self.temperature * self.head(self.norm(hidden).mean(1))


def build(width, depth):
    """The module at a size."""
    return Sums(width, depth)
