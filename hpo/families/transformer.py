"""A decoder-only transformer for language."""

from collections.abc import Collection, Iterable, Sequence
from math import inf
from typing import cast

import torch
from torch import Tensor, nn

from hpo.families.dials import NO_DIALS, NO_NOISE, Dials, Noise, branch_noise, check_dials, dropped, noisy
from hpo.families.facts.transformer import EXPANSION
from hpo.families.family import Family
from hpo.families.nonlinearity import ACTIVATIONS, normalised
from hpo.families.proxy import Proxy, Record
from hpo.families.transformer_passes import TransformerPasses
from windtunnel.types.model import ModelSpec
from windtunnel.types.tasks import TaskInfo


class Block(nn.Module):
    """The weights of attention and MLP of one block, none of them with a bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_in = nn.Linear(width, EXPANSION * width, bias=False)
        self.mlp_out = nn.Linear(EXPANSION * width, width, bias=False)


def causal_attention(qkv: Tensor, d_head: int, multiplier: Tensor | float) -> Tensor:
    """softmax(multiplier * q.k / d_head + mask) v for each head, heads side by side.

    Written out, because fused attention has neither a double backward nor a jvp. The logits are divided by d_head and not
    by its root: a trained q is correlated with k, and their product grows like d_head (Tensor Programs V).

    Args:
        qkv: queries, keys and values side by side, [batch, context, 3 * width].
        d_head: size of one head; the width is a multiple.
        multiplier: factor on the logits, 0-dim.

    Returns:
        [batch, context, width].
    """
    batch, context, _ = qkv.shape
    q, k, v = qkv.view(batch, context, 3, -1, d_head).permute(2, 0, 3, 1, 4).unbind(0)
    logits = (q * (multiplier / d_head)) @ k.transpose(-2, -1)
    # Added and not filled in: the derivative of a sum is free, and the softmax gives the future no weight to derive.
    future = torch.full((context, context), -inf, dtype=qkv.dtype, device=qkv.device).triu(1)
    weights = (logits + future).softmax(-1)
    return (weights @ v).transpose(1, 2).reshape(batch, context, -1)


class Transformer(Proxy):
    """Embeddings of tokens and positions, ``depth`` pre-norm blocks of attention and MLP, norm, untied readout.

    Norms have no gains. Dropout acts on what attention and MLP add to the residual stream, input noise on the sum of the
    embeddings.

    Args:
        context: tokens of one example, at most.
        classes: size of the vocabulary.
        width: width of the residual stream; a multiple of d_head.
        depth: number of blocks, at least 1.
        d_head: size of one attention head; wider models have more heads of the same size.
        activation: activation of the MLP, a name in ``ACTIVATIONS``.

    Raises:
        ValueError: the width is no multiple of d_head.
    """

    dials = ("attention_multiplier", "dropout", "input_noise")

    def __init__(
        self, context: int, classes: int, width: int, depth: int, d_head: int = 16, activation: str = "gelu"
    ) -> None:
        super().__init__()
        if width % d_head:
            raise ValueError(f"width {width} of a transformer is no multiple of d_head {d_head}")
        self.context, self.width, self.d_head = context, width, d_head
        self.token_embedding = nn.Embedding(classes, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.readout = nn.Linear(width, classes)
        self.activation, self.curve = ACTIVATIONS[activation], activation

    def compute(self, inputs: Tensor, dials: Dials, noise: Noise, record: Record) -> Tensor:
        """Logits [batch, context, classes] of the token after each of tokens [batch, context]."""
        tokens = self.token_embedding(inputs)
        positions = self.position_embedding(torch.arange(inputs.shape[-1], device=inputs.device))
        record("token_embedding", tokens)
        record("position_embedding", positions)
        hidden = noisy(tokens + positions, dials, noise)
        multiplier = dials.get("attention_multiplier", 1.0)
        for index, block in enumerate(cast("Iterable[Block]", self.blocks)):
            place = f"blocks.{index}"
            qkv = block.qkv(normalised(hidden, 1))
            record(f"{place}.qkv", qkv)
            branch = block.attention_out(causal_attention(qkv, self.d_head, multiplier))
            record(f"{place}.attention_out", branch)
            hidden = hidden + dropped(branch, index, f"{place}.attention", dials, noise)
            units = block.mlp_in(normalised(hidden, 1))
            record(f"{place}.mlp_in", units)
            branch = block.mlp_out(self.activation(units))
            record(f"{place}.mlp_out", branch)
            hidden = hidden + dropped(branch, index, f"{place}.mlp", dials, noise)
        logits: Tensor = self.readout(normalised(hidden, 1))
        return logits

    def passes(
        self, tensors: Sequence[Tensor], inputs: Tensor, dials: Dials = NO_DIALS, noise: Noise = NO_NOISE
    ) -> TransformerPasses:
        """Passes by hand on tensors, inputs, dials and noise with members in front."""
        check_dials(dials, self.dials)
        return TransformerPasses(tensors, inputs, dials, noise, self.d_head, self.curve)

    def noise_shapes(self, batch: int, dials: Collection[str]) -> dict[str, tuple[int, ...]]:
        """``input``, ``dropout.blocks.i.attention`` and ``dropout.blocks.i.mlp``, each [batch, context, width]."""
        return branch_noise((batch, self.context, self.width), len(self.blocks), dials)


class TransformerFamily(Family):
    """Family of decoder-only transformers."""

    def build(self, model: ModelSpec, task: TaskInfo) -> Proxy:
        """A transformer on the task's tokens."""
        return Transformer(task.features, task.classes, model.width, model.depth, model.head, model.activation)


FAMILY = TransformerFamily()
