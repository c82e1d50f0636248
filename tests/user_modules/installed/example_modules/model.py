"""A module with an embedding, attention, a convolution, a norm with a gain, a buffer and a scalar parameter of its own."""

import torch
from torch import nn

D_HEAD = 8


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, width // D_HEAD, batch_first=True)
        self.conv = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, hidden):
        seen = self.norm(hidden)
        hidden = hidden + self.attention(seen, seen, seen, need_weights=False)[0]
        return hidden + self.conv(torch.tanh(hidden).mT).mT


class Sums(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.embedding = nn.Embedding(3, width)
        self.position = nn.Parameter(0.5 * torch.randn(6, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.temperature = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("weights", torch.linspace(1.5, 0.5, 6))
        self.head = nn.Linear(width, 3)

    def forward(self, tokens):
        hidden = self.embedding(tokens) + self.position
        for block in self.blocks:
            hidden = block(hidden)
        pooled = (hidden * self.weights[:, None]).mean(1)
        return self.head(nn.functional.gelu(pooled)) * self.temperature


def build(width, depth):
    return Sums(width, depth)
