"""Llama: a decoder-only transformer with rotary positions, root-mean-square norms, SwiGLU and grouped-query attention."""

from collections.abc import Collection, Iterable
from math import inf, sqrt
from typing import cast

import torch
from torch import Tensor, nn

from hpo.families.dials import Dials, Noise, branch_noise, dropped, noisy
from hpo.families.facts.llama import EPSILON, check_width, mlp_units
from hpo.families.family import Family
from hpo.families.nonlinearity import ACTIVATIONS, root_mean_square_normalised
from hpo.families.proxy import Proxy, Record
from windtunnel.types.families import BlockOptions
from windtunnel.types.model import ModelSpec
from windtunnel.types.tasks import TaskInfo


class Norm(nn.Module):
    """Root-mean-square norm over the last axis, with a gain if it has one.

    Args:
        size: entries of the last axis.
        gain: whether a gain is trained.
    """

    def __init__(self, size: int, *, gain: bool) -> None:
        super().__init__()
        if gain:
            self.weight = nn.Parameter(torch.empty(size))
        self.gain = gain

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalised values, in the shape of hidden values [..., size]."""
        found = root_mean_square_normalised(hidden, EPSILON)
        return found * self.weight if self.gain else found


class Block(nn.Module):
    """The weights of attention and MLP of one block, and the gains of its norms; no biases."""

    def __init__(self, width: int, d_head: int, options: BlockOptions) -> None:
        super().__init__()
        keys, units = width // options.gqa_ratio, mlp_units(width, options.multiple_of)
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, keys, bias=False)
        self.v = nn.Linear(width, keys, bias=False)
        self.o = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, units, bias=False)
        self.up = nn.Linear(width, units, bias=False)
        self.down = nn.Linear(units, width, bias=False)
        self.attention_norm = Norm(width, gain=options.norm_gains)
        self.mlp_norm = Norm(width, gain=options.norm_gains)
        if options.qk_norm:
            self.q_norm = Norm(d_head, gain=options.norm_gains)
            self.k_norm = Norm(d_head, gain=options.norm_gains)


def rotations(context: int, d_head: int, theta: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the angles of every position, each [context, d_head], in the type and place of ``like``.

    Entry i and entry i + d_head / 2 turn together, by the position over theta^(2 i / d_head) (Su et al. 2021, RoFormer).
    Frequencies are rounded to float32, as in the Llama code of ``transformers``, whatever type the angles have.
    """
    exponents = torch.arange(0, d_head, 2, device=like.device, dtype=torch.float32) / d_head
    wide = torch.promote_types(like.dtype, torch.float32)
    frequencies = (1.0 / theta**exponents).to(wide)
    angles = torch.arange(context, device=like.device).to(wide)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotated(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Heads [..., context, d_head] with their pairs of entries turned by the angles of their positions."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat((-second, first), dim=-1) * sines


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, scale: Tensor | float) -> Tensor:
    """softmax(scale * q.k + mask) v for each query head, with the keys and values of its group.

    Written out, because fused attention has neither a double backward nor a jvp.

    Args:
        q: queries [batch, groups, ratio, context, d_head].
        k: keys [batch, groups, 1, context, d_head].
        v: values, as the keys.
        scale: factor on the logits, 0-dim.

    Returns:
        [batch, groups, ratio, context, d_head].
    """
    context = q.shape[-2]
    logits = (q * scale) @ k.transpose(-2, -1)
    future = torch.full((context, context), -inf, dtype=q.dtype, device=q.device).triu(1)
    return (logits + future).softmax(-1) @ v


class Llama(Proxy):
    """Token embedding, ``depth`` pre-norm blocks of rotary attention and a gated MLP, norm, readout; no biases.

    Logits of attention are multiplier * q.k / d_head. With ``qk_norm`` they are multiplier * q.k / sqrt(d_head): normalised
    queries and keys have a product of at most d_head however long they are trained, and over d_head attention could not
    choose. Where embedding and readout are tied, the output multiplier is a dial. Dropout acts on what attention and MLP
    add to the residual stream, input noise on the embeddings.

    Args:
        context: tokens of one example, at most.
        classes: size of the vocabulary.
        width: width of the residual stream; a multiple of d_head times the ratio of grouped-query attention.
        depth: number of blocks, at least 1.
        d_head: size of one attention head, even.
        activation: activation of the MLP's gate, a name in ``ACTIVATIONS``.
        options: further choices.

    Raises:
        ValueError: the width cuts a head or a group of heads.
    """

    dials: tuple[str, ...] = ("attention_multiplier", "dropout", "input_noise")

    def __init__(
        self,
        context: int,
        classes: int,
        width: int,
        depth: int,
        d_head: int = 16,
        activation: str = "silu",
        options: BlockOptions = BlockOptions(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        check_width(width, d_head, options.gqa_ratio)
        self.context, self.width, self.d_head, self.options = context, width, d_head, options
        self.token_embedding = nn.Embedding(classes, width)
        self.blocks = nn.ModuleList(Block(width, d_head, options) for _ in range(depth))
        self.norm = Norm(width, gain=options.norm_gains)
        self.readout = nn.Linear(width, classes, bias=False)
        if options.tied_embeddings:
            self.readout.weight = self.token_embedding.weight
            self.dials = (*self.dials, "output_multiplier")
        self.activation = ACTIVATIONS[activation]

    def compute(self, inputs: Tensor, dials: Dials, noise: Noise, record: Record) -> Tensor:
        """Logits [batch, context, classes] of the token after each of tokens [batch, context]."""
        tokens = self.token_embedding(inputs)
        record("token_embedding", tokens)
        hidden = noisy(tokens, dials, noise)
        turns = rotations(inputs.shape[-1], self.d_head, self.options.rope_theta, hidden)
        scale = dials.get("attention_multiplier", 1.0) / (sqrt(self.d_head) if self.options.qk_norm else self.d_head)
        for index, block in enumerate(cast("Iterable[Block]", self.blocks)):
            place = f"blocks.{index}"
            branch = self._attention(block, place, hidden, turns, scale, record)
            hidden = hidden + dropped(branch, index, f"{place}.attention", dials, noise)
            branch = self._mlp(block, place, hidden, record)
            hidden = hidden + dropped(branch, index, f"{place}.mlp", dials, noise)
        normal = self._normal(self.norm, "norm", hidden, record)
        if "output_multiplier" in dials:
            normal = normal * dials["output_multiplier"]
        logits: Tensor = self.readout(normal)
        return logits

    def _attention(
        self, block: Block, place: str, hidden: Tensor, turns: tuple[Tensor, Tensor], scale: Tensor | float, record: Record
    ) -> Tensor:
        """Branch of attention, [batch, context, width]."""
        normal = self._normal(block.attention_norm, f"{place}.attention_norm", hidden, record)
        q, k, v = (self._recorded(getattr(block, name), f"{place}.{name}", normal, record) for name in "qkv")
        batch, context, _ = q.shape
        queries = q.view(batch, context, -1, self.options.gqa_ratio, self.d_head).permute(0, 2, 3, 1, 4)
        keys, values = (part.view(batch, context, -1, 1, self.d_head).permute(0, 2, 3, 1, 4) for part in (k, v))
        if self.options.qk_norm:
            queries = self._normal(block.q_norm, f"{place}.q_norm", queries, record)
            keys = self._normal(block.k_norm, f"{place}.k_norm", keys, record)
        mixed = grouped_attention(rotated(queries, *turns), rotated(keys, *turns), values, scale)
        mixed = mixed.permute(0, 3, 1, 2, 4).reshape(batch, context, self.width)
        return self._recorded(block.o, f"{place}.o", mixed, record)

    def _mlp(self, block: Block, place: str, hidden: Tensor, record: Record) -> Tensor:
        """Branch of the MLP, down(activation(gate(x)) * up(x)), [batch, context, width]."""
        normal = self._normal(block.mlp_norm, f"{place}.mlp_norm", hidden, record)
        gate, up = (self._recorded(getattr(block, name), f"{place}.{name}", normal, record) for name in ("gate", "up"))
        return self._recorded(block.down, f"{place}.down", self.activation(gate) * up, record)

    @staticmethod
    def _recorded(layer: nn.Module, place: str, inputs: Tensor, record: Record) -> Tensor:
        found: Tensor = layer(inputs)
        record(place, found)
        return found

    @staticmethod
    def _normal(norm: Norm, place: str, hidden: Tensor, record: Record) -> Tensor:
        found: Tensor = norm(hidden)
        if norm.gain:
            record(place, found)
        return found

    def noise_shapes(self, batch: int, dials: Collection[str]) -> dict[str, tuple[int, ...]]:
        """``input``, ``dropout.blocks.i.attention`` and ``dropout.blocks.i.mlp``, each [batch, context, width]."""
        return branch_noise((batch, self.context, self.width), len(self.blocks), dials)


class LlamaFamily(Family):
    """Family of Llamas."""

    def build(self, model: ModelSpec, task: TaskInfo) -> Proxy:
        """A Llama on the task's tokens."""
        return Llama(task.features, task.classes, model.width, model.depth, model.head, model.activation, model.options)


FAMILY = LlamaFamily()
