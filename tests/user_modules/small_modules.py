"""Small modules with one layer of interest each, for the table of modules that learn."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 3


class Between(nn.Module):
    """A linear layer in, a layer in the middle, a linear readout."""

    def __init__(self, middle: Callable[[int], nn.Module], width: int) -> None:
        super().__init__()
        self.first = nn.Linear(8, width)
        self.middle = middle(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(F.relu(self.middle(F.relu(self.first(inputs)))))


class Pictures(nn.Module):
    """A convolution in, a layer in the middle, the mean over places, a linear readout."""

    def __init__(self, middle: Callable[[int], nn.Module], width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.middle = middle(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(F.relu(self.middle(F.relu(self.first(inputs)))).amax((2, 3)))


class Words(nn.Module):
    """An embedding with positions of its own, a layer in the middle, the mean over places, a linear readout."""

    def __init__(self, middle: Callable[[int], nn.Module], width: int, **more: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, width, **more)
        self.place = nn.Embedding(6, width)
        self.middle = middle(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.embedding(inputs) + self.place(torch.arange(inputs.shape[1], device=inputs.device))
        return self.head(torch.tanh(self.middle(hidden)).mean(1))


class Raw(nn.Module):
    """Parameters without layers, used as ``x @ W``, and a layer as readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Parameter(torch.randn(8, width) / 8**0.5)
        self.through = nn.Parameter(torch.randn(width, 2 * width) / width**0.5)
        self.leave = nn.Linear(2 * width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.leave(torch.relu(torch.relu(inputs @ self.enter) @ self.through))


class Excited(nn.Module):
    """Squeeze and excite: channels weighed by a small network with a neck of fixed size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, 4)
        self.excite = nn.Linear(4, width)

    def forward(self, hidden: Tensor) -> Tensor:
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(hidden.mean((2, 3))))))
        return hidden * weights[:, :, None, None]


class Adapted(nn.Module):
    """A linear layer with an adapter of rank 2 beside it, whose second half starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.main = nn.Linear(width, width)
        self.down = nn.Linear(width, 2, bias=False)
        self.up = nn.Linear(2, width, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.main(hidden) + self.up(self.down(hidden))


class Gated(nn.Module):
    """A feed-forward layer with a gate (SwiGLU), whose size is rounded to a multiple of 8."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inside = 8 * -(-8 * width // 24)
        self.gate = nn.Linear(width, inside, bias=False)
        self.up = nn.Linear(width, inside, bias=False)
        self.down = nn.Linear(inside, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.down(F.silu(self.gate(hidden)) * self.up(hidden))


class Routed(nn.Module):
    """A mixture of three linear layers, weighed by a router."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, 3)
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(3))

    def forward(self, hidden: Tensor) -> Tensor:
        weights = self.router(hidden).softmax(-1)
        each = torch.stack([expert(hidden) for expert in self.experts], -1)
        return (each * weights[..., None, :]).sum(-1)


class Attended(nn.Module):
    """Attention over places with heads of four."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, width // 4, batch_first=True)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.attention(hidden, hidden, hidden, need_weights=False)[0]


class Recurrent(nn.Module):
    """A recurrent layer in plain torch, stepped over the places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(4, width)
        self.recur = nn.Linear(width, width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        state = torch.tanh(self.enter(inputs[:, 0]))
        for place in range(1, inputs.shape[1]):
            state = torch.tanh(self.enter(inputs[:, place]) + self.recur(state))
        return self.head(state)


class Paired(nn.Module):
    """A bilinear layer of the input and a hidden layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(8, width)
        self.pair = nn.Bilinear(8, width, width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.pair(inputs, torch.tanh(self.first(inputs)))))


class Tied(nn.Module):
    """A model of text whose readout is its embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, width)
        self.layer = nn.Linear(width, width)
        self.scale = 16 / width

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.layer(self.embedding(inputs)))
        return hidden @ self.embedding.weight.T * self.scale


class Frozen(nn.Module):
    """Random features that stay as they are, and a trained layer upon them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Linear(8, width).requires_grad_(False)
        self.layer = nn.Linear(width, width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(F.relu(self.layer(F.relu(self.features(inputs)))))


class Tempered(nn.Module):
    """A learned temperature and a learned shift of each class."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(8, width)
        self.head = nn.Linear(width, CLASSES, bias=False)
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.shift = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.temperature * self.head(F.relu(self.first(inputs))) + self.shift


class Transposed(nn.Module):
    """A transposed convolution after a convolution with a stride."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, width, 2, stride=2)
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.up(F.relu(self.down(hidden)))


class Line(nn.Module):
    """Convolutions along a series."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=1, groups=2)
        self.head = nn.Linear(6 * width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(F.relu(self.second(F.relu(self.first(inputs.transpose(1, 2))))).flatten(1))


class Volume(nn.Module):
    """A convolution over volumes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, width, 3, padding=1)
        self.head = nn.Linear(64 * width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(F.relu(self.first(inputs)).flatten(1))


class Skip(nn.Module):
    """A layer and a skip connection around it."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.inside(hidden)
