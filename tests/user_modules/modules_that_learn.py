"""Modules that can be tuned, one entry each: layers of torch.nn and models of transformers, small enough for a second."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.user_modules.small_modules import (
    CLASSES,
    Adapted,
    Attended,
    Between,
    Excited,
    Frozen,
    Gated,
    Line,
    Paired,
    Pictures,
    Raw,
    Recurrent,
    Routed,
    Skip,
    Tempered,
    Tied,
    Transposed,
    Volume,
    Words,
)
from tests.user_modules.small_transformers import bert, gpt2, llama, mistral, neox, qwen2, vit

Part = tuple[Tensor, Tensor]
Data = tuple[Part, Part, Part]


@dataclass(frozen=True)
class Entry:
    """A module of a chosen width, data for it, and what ``windtunnel.tune`` must be told beside them."""

    build: Callable[[int], nn.Module]
    data: Callable[[], Data]
    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``tune``: roles, init_std, kind, inputs."""
    width: int = 16
    steps: int = 60
    outer: int = 1
    """Outer steps of its tuning."""


def _parts(inputs: Tensor, labels: Tensor) -> Data:
    """Half of the examples for training, a quarter each for validation and test."""
    count = len(inputs)
    marks = (0, count // 2, 3 * count // 4, count)
    first, second, third = ((inputs[a:b], labels[a:b]) for a, b in itertools.pairwise(marks))
    return first, second, third


def points(shape: tuple[int, ...] = (8,)) -> Data:
    """Numbers of a shape; the label is the largest of three sums of them."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(400, *shape, generator=generator)
    plane = torch.randn(inputs[0].numel(), CLASSES, generator=generator)
    return _parts(inputs, (inputs.flatten(1) @ plane).argmax(1))


def images() -> Data:
    """Images [1, 6, 6] of noise with a bright stripe; the label tells whether it is upright, level or absent."""
    generator = torch.Generator().manual_seed(0)
    inputs = 0.5 * torch.randn(400, 1, 6, 6, generator=generator)
    labels = torch.randint(0, CLASSES, (400,), generator=generator)
    place = torch.randint(0, 6, (400,), generator=generator)
    rows = torch.arange(400)
    inputs[rows[labels == 1], 0, :, place[labels == 1]] += 2
    inputs[rows[labels == 2], 0, place[labels == 2], :] += 2
    return _parts(inputs, labels)


def series() -> Data:
    """Series [6, 4] of numbers: points in time, and features of each."""
    return points((6, 4))


def volumes() -> Data:
    """Volumes [1, 4, 4, 4]."""
    return points((1, 4, 4, 4))


def tokens() -> Data:
    """Rows of six tokens below 11; the label is the first token modulo 3."""
    inputs = torch.randint(1, 11, (400, 6), generator=torch.Generator().manual_seed(0))
    return _parts(inputs, inputs[:, 0] % CLASSES)


def text() -> Data:
    """Rows of eight tokens below 11, each the one before plus the first one's parity plus one; labels are the next ones."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(0, 11, (200, 1), generator=generator)
    rows = (start + torch.arange(9) * (1 + start % 2)) % 11
    return _parts(rows[:, :-1], rows[:, 1:])


def _stack(*layers: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
    return lambda width: nn.Sequential(*(layer(width) for layer in layers))


def _linear(inside: Callable[[int], int], outside: Callable[[int], int], **more: Any) -> Callable[[int], nn.Module]:
    return lambda width: nn.Linear(inside(width), outside(width), **more)


def _wide(width: int) -> int:
    return width


def _always(number: int) -> Callable[[int], int]:
    return lambda width: number


def _relu(width: int) -> nn.Module:
    return nn.ReLU()


ENTER, THROUGH, LEAVE = _linear(_always(8), _wide), _linear(_wide, _wide), _linear(_wide, _always(CLASSES))


LANGUAGE = {"kind": "language"}

ENTRIES: dict[str, Entry] = {
    "linear": Entry(_stack(ENTER, _relu, LEAVE), points),
    "linear-deep": Entry(_stack(ENTER, _relu, THROUGH, _relu, THROUGH, _relu, LEAVE), points),
    "linear-without-bias": Entry(_stack(_linear(_always(8), _wide, bias=False), _relu, LEAVE), points),
    "gelu": Entry(partial(Between, lambda width: nn.Sequential(nn.GELU(), nn.Linear(width, width))), points),
    "silu": Entry(partial(Between, lambda width: nn.Sequential(nn.SiLU(), nn.Linear(width, width))), points),
    "prelu": Entry(_stack(ENTER, lambda _: nn.PReLU(), LEAVE), points),
    "prelu-per-unit": Entry(_stack(ENTER, nn.PReLU, LEAVE), points),
    "layer-norm": Entry(partial(Between, nn.LayerNorm), points),
    "layer-norm-plain": Entry(partial(Between, partial(nn.LayerNorm, elementwise_affine=False)), points),
    "rms-norm": Entry(partial(Between, nn.RMSNorm), points),
    "group-norm": Entry(partial(Pictures, partial(nn.GroupNorm, 4)), images),
    "instance-norm": Entry(partial(Pictures, partial(nn.InstanceNorm2d, affine=True)), images),
    "gated": Entry(partial(Between, Gated), points),
    "routed": Entry(partial(Between, Routed), points),
    "adapter": Entry(partial(Between, Adapted), points),
    "fixed-head": Entry(_stack(ENTER, _relu, _linear(_wide, _always(16)), _relu, _linear(_always(16), _always(3))), points),
    "fixed-stem": Entry(_stack(_linear(_always(8), _always(16)), _relu, _linear(_always(16), _wide), _relu, LEAVE), points),
    "fixed-neck": Entry(
        _stack(ENTER, _relu, _linear(_wide, _always(4)), _linear(_always(4), _wide), _relu, LEAVE), points
    ),
    "skip": Entry(partial(Between, lambda width: Skip(nn.Sequential(nn.Linear(width, width), nn.ReLU()))), points),
    "raw": Entry(Raw, points),
    "bilinear": Entry(Paired, points),
    "tempered": Entry(Tempered, points),
    "frozen": Entry(Frozen, points, steps=120, outer=4),
    "unflatten": Entry(
        partial(Between, _stack(lambda width: nn.Unflatten(1, (width // 4, 4)), lambda _: nn.Flatten(), THROUGH)),
        points,
    ),
    "conv": Entry(partial(Pictures, lambda width: nn.Conv2d(width, width, 3, padding=1)), images),
    "conv-grouped": Entry(partial(Pictures, lambda width: nn.Conv2d(width, width, 3, padding=1, groups=4)), images),
    "conv-depthwise": Entry(partial(Pictures, lambda width: nn.Conv2d(width, width, 3, padding=1, groups=width)), images),
    "conv-dilated": Entry(partial(Pictures, lambda width: nn.Conv2d(width, width, 3, padding=2, dilation=2)), images),
    "conv-transposed": Entry(partial(Pictures, Transposed), images, steps=90),
    "conv-excited": Entry(partial(Pictures, Excited), images),
    "conv-pointwise": Entry(partial(Pictures, lambda width: nn.Conv2d(width, width, 1)), images),
    "pooled": Entry(partial(Pictures, lambda width: nn.AvgPool2d(2)), images),
    "conv-1d": Entry(Line, series),
    "conv-3d": Entry(Volume, volumes),
    "flattened-images": Entry(
        lambda width: nn.Sequential(nn.Flatten(), nn.Linear(36, width), nn.ReLU(), nn.Linear(width, 3)), images
    ),
    "recurrent": Entry(Recurrent, series),
    "embedding": Entry(partial(Words, THROUGH), tokens),
    "embedding-padded": Entry(partial(Words, THROUGH, padding_idx=0), tokens),
    "attention": Entry(partial(Words, Attended), tokens),
    "encoder-layer": Entry(
        partial(Words, lambda width: nn.TransformerEncoderLayer(width, width // 4, 2 * width, 0.0, batch_first=True)),
        tokens,
    ),
    "tied": Entry(Tied, text, LANGUAGE),
    "text": Entry(
        _stack(lambda width: nn.Embedding(11, width), THROUGH, lambda _: nn.GELU(), _linear(_wide, _always(11))),
        text,
        LANGUAGE,
    ),
    "gpt2": Entry(gpt2, text, LANGUAGE),
    "llama": Entry(llama, text, LANGUAGE),
    "mistral": Entry(mistral, text, LANGUAGE),
    "qwen2": Entry(qwen2, text, LANGUAGE),
    "gpt-neox": Entry(neox, text, LANGUAGE),
    "bert": Entry(bert, tokens),
    "vit": Entry(vit, images),
}  # fmt: skip
