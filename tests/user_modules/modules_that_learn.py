"""Modules that can be tuned, one entry each: layers of torch.nn and models of transformers, small enough for a second."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

Part = tuple[Tensor, Tensor]
Data = tuple[Part, Part, Part]

CLASSES = 3


@dataclass(frozen=True)
class Entry:
    """A module of a chosen width, data for it, and what ``windtunnel.tune`` must be told beside them."""

    build: Callable[[int], nn.Module]
    data: Callable[[], Data]
    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``tune``: roles, init_std, kind, inputs."""
    width: int = 16
    steps: int = 60
    rate: float = 0.01
    """Learning rate of the plain Adam that it is compared with."""


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
    """Parameters without layers, used as ``x @ W``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Parameter(torch.randn(8, width) / 8**0.5)
        self.through = nn.Parameter(torch.randn(width, 2 * width) / width**0.5)
        self.leave = nn.Parameter(torch.randn(2 * width, CLASSES) / (2 * width) ** 0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(torch.relu(inputs @ self.enter) @ self.through) @ self.leave


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


class Logits(nn.Module):
    """A model of transformers that gives its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).logits


def _config(name: str, **fields: Any) -> Any:
    import transformers

    return getattr(transformers, name)(attn_implementation="eager", **fields)


def gpt2(width: int) -> nn.Module:
    from transformers import GPT2LMHeadModel

    config = _config(
        "GPT2Config", vocab_size=11, n_positions=8, n_embd=width, n_layer=1, n_head=width // 8,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False, use_cache=False,
    )  # fmt: skip
    return Logits(GPT2LMHeadModel(config))


def llama(width: int) -> nn.Module:
    from transformers import LlamaForCausalLM

    config = _config(
        "LlamaConfig", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, num_key_value_heads=width // 8, head_dim=8, max_position_embeddings=8,
        use_cache=False,
    )  # fmt: skip
    return Logits(LlamaForCausalLM(config))


def mistral(width: int) -> nn.Module:
    from transformers import MistralForCausalLM

    config = _config(
        "MistralConfig", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, num_key_value_heads=width // 8, head_dim=8, max_position_embeddings=8,
        use_cache=False, sliding_window=None,
    )  # fmt: skip
    return Logits(MistralForCausalLM(config))


def qwen2(width: int) -> nn.Module:
    from transformers import Qwen2ForCausalLM

    config = _config(
        "Qwen2Config", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, num_key_value_heads=width // 8, max_position_embeddings=8, use_cache=False,
        tie_word_embeddings=False,
    )  # fmt: skip
    return Logits(Qwen2ForCausalLM(config))


def neox(width: int) -> nn.Module:
    from transformers import GPTNeoXForCausalLM

    config = _config(
        "GPTNeoXConfig", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, max_position_embeddings=8, use_cache=False,
    )  # fmt: skip
    return Logits(GPTNeoXForCausalLM(config))


def bert(width: int) -> nn.Module:
    from transformers import BertForSequenceClassification

    config = _config(
        "BertConfig", vocab_size=11, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
        num_attention_heads=width // 8, max_position_embeddings=6, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, num_labels=CLASSES,
    )  # fmt: skip
    return Logits(BertForSequenceClassification(config))


def vit(width: int) -> nn.Module:
    from transformers import ViTForImageClassification

    config = _config(
        "ViTConfig", hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1, num_attention_heads=width // 8,
        image_size=6, patch_size=2, num_channels=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        num_labels=CLASSES,
    )  # fmt: skip
    return Logits(ViTForImageClassification(config))


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
    "frozen": Entry(Frozen, points),
    "weight-norm": Entry(partial(Between, lambda width: weight_norm(nn.Linear(width, width))), points),
    "unflatten": Entry(
        partial(Between, _stack(lambda width: nn.Unflatten(1, (width // 4, 4)), lambda _: nn.Flatten(), THROUGH)),
        points,
    ),
    "conv": Entry(partial(Pictures, lambda width: nn.Conv2d(width, width, 3, padding=1)), images),
    "conv-grouped": Entry(partial(Pictures, lambda width: nn.Conv2d(width, width, 3, padding=1, groups=4)), images),
    "conv-depthwise": Entry(partial(Pictures, lambda width: nn.Conv2d(width, width, 3, padding=1, groups=width)), images),
    "conv-dilated": Entry(partial(Pictures, lambda width: nn.Conv2d(width, width, 3, padding=2, dilation=2)), images),
    "conv-transposed": Entry(partial(Pictures, Transposed), images),
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


class Skip(nn.Module):
    """A layer and a skip connection around it."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.inside(hidden)
