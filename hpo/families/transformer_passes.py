"""The transformer's passes by hand: what ``Transformer.compute`` does, with its first and second derivatives."""

from collections.abc import Collection, Mapping, Sequence
from math import inf

import torch
from torch import Tensor

from hpo.families.dials import Dials, Noise, noisy
from hpo.families.passes import Activation, Dropout, Linear, Normalisation, Passes


class Attention:
    """softmax(k_d q.k + mask) v for each head: ``causal_attention`` with k_d = multiplier / d_head.

    Args:
        examples: of the batch; the rows of a member are its examples' tokens one after the other.
        d_head: size of a head.
        multiplier: of the logits, [members]; None: 1.
    """

    def __init__(self, examples: int, d_head: int, multiplier: Tensor | None) -> None:
        self.examples, self.d_head, self.multiplier = examples, d_head, multiplier

    def forward(self, qkv: Tensor) -> Tensor:
        """[members, rows, 3 width] -> [members, rows, width]"""
        self.q, self.k, self.v = self._heads(qkv, 3).unbind()
        self._scale_(self.q)
        logits = torch.bmm(self.q, self.k.mT)
        context = logits.shape[-1]
        logits += torch.full((context, context), -inf, dtype=qkv.dtype, device=qkv.device).triu_(1)
        self.weights = logits.softmax(-1)
        return self._rows(torch.bmm(self.weights, self.v)[None], len(qkv))

    def backward(self, slope: Tensor) -> Tensor:
        """Gradient by queries, keys and values, [members, rows, 3 width]."""
        self.slope = self._heads(slope, 1)[0]
        by_weights = torch.bmm(self.slope, self.v.mT)
        self.centred = by_weights.sub_(torch.linalg.vecdot(by_weights, self.weights).unsqueeze(-1))
        by_logits = self.weights * self.centred
        found = self._empty()
        torch.bmm(by_logits, self.k, out=found[0])
        torch.bmm(by_logits.mT, self.q, out=found[1])
        torch.bmm(self.weights.mT, self.slope, out=found[2])
        self._scale_(found[0])
        return self._rows(found, len(slope))

    def r_forward(self, moved: Tensor) -> Tensor:
        """Queries, keys and values move."""
        self.dq, self.dk, self.dv = self._heads(moved, 3).unbind()
        self._scale_(self.dq)
        logits = torch.bmm(self.dq, self.k.mT).baddbmm_(self.q, self.dk.mT)
        self.dweights = self._through_softmax(logits)
        return self._rows(torch.bmm(self.dweights, self.v).baddbmm_(self.weights, self.dv)[None], len(moved))

    def r_backward(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of ``backward``'s gradient, and of that by the scaled queries, which ``r_multiplier`` takes."""
        turned = self._heads(slope, 1)[0]
        by_logits = self._through_softmax(torch.bmm(turned, self.v.mT).baddbmm_(self.slope, self.dv.mT))
        # d(W c) for c = g - <g, W>, whose own derivative is that of g, less a number for each query: <dg, W> + <g, dW>.
        crossed = self.dweights * self.centred
        by_logits.addcmul_(self.weights, crossed.sum(-1, keepdim=True), value=-1).add_(crossed)
        plain = torch.mul(self.weights, self.centred, out=crossed)
        found = self._empty()
        torch.bmm(by_logits, self.k, out=found[0]).baddbmm_(plain, self.dk)
        torch.bmm(by_logits.mT, self.q, out=found[1]).baddbmm_(plain.mT, self.dq)
        torch.bmm(self.weights.mT, turned, out=found[2]).baddbmm_(self.dweights.mT, self.slope)
        self.plain_by_q = plain
        by_q = found[0].clone() if self.multiplier is not None else found[0]
        self._scale_(found[0])
        return self._rows(found, len(slope)), by_q

    def r_multiplier(self, by_q: Tensor) -> Tensor:
        """Derivative along the direction of the gradient by the multiplier, [members]."""
        assert self.multiplier is not None
        turned = (by_q * self.q).addcmul_(torch.bmm(self.plain_by_q, self.k), self.dq)
        return turned.view(len(self.multiplier), -1).sum(1) / self.multiplier

    def _through_softmax(self, moved: Tensor) -> Tensor:
        """W (z - <z, W>): the derivative of the softmax, which is symmetric."""
        found: Tensor = torch.ops.aten._softmax_backward_data(moved, self.weights, -1, moved.dtype)
        return found

    def _heads(self, rows: Tensor, parts: int) -> Tensor:
        """[members, rows, parts * width] -> [parts, members * examples * heads, context, d_head]."""
        members, count, _ = rows.shape
        context = count // self.examples
        apart = rows.view(members * self.examples, context, parts, -1, self.d_head)
        return apart.permute(2, 0, 3, 1, 4).contiguous().view(parts, -1, context, self.d_head)

    def _rows(self, heads: Tensor, members: int) -> Tensor:
        """Inverse of ``_heads``."""
        parts, _, context, d_head = heads.shape
        apart = heads.view(parts, members * self.examples, -1, context, d_head)
        return apart.permute(1, 3, 0, 2, 4).reshape(members, self.examples * context, -1)

    def _empty(self) -> Tensor:
        return self.q.new_empty(3, *self.q.shape)

    def _scale_(self, queries: Tensor) -> None:
        if self.multiplier is None:
            queries.div_(self.d_head)
        else:
            queries.view(len(self.multiplier), -1).mul_((self.multiplier / self.d_head)[:, None])


class Block:
    """``x + branch(norm(x))`` for attention, then for the MLP."""

    def __init__(self, weights: Sequence[Tensor], attention: Attention, drops: Sequence[Dropout], activation: str) -> None:
        self.qkv, self.attention_out, self.mlp_in, self.mlp_out = map(Linear, weights)
        self.attention, self.activation = attention, Activation(activation)
        self.attention_norm, self.mlp_norm = Normalisation(), Normalisation()
        self.attention_drop, self.mlp_drop = drops

    def forward(self, hidden: Tensor) -> Tensor:
        """The residual stream, [members, rows, width]."""
        branch = self.attention_out.forward(self.attention.forward(self.qkv.forward(self.attention_norm.forward(hidden))))
        hidden = hidden + self.attention_drop.forward(branch)
        branch = self.mlp_out.forward(self.activation.forward(self.mlp_in.forward(self.mlp_norm.forward(hidden))))
        return hidden + self.mlp_drop.forward(branch)

    def backward(self, slope: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Gradient by the residual stream and by the four weights."""
        branch, mlp_out = self.mlp_out.backward(self.mlp_drop.backward(slope))
        branch, mlp_in = self.mlp_in.backward(self.activation.backward(branch))
        slope = slope + self.mlp_norm.backward(branch)
        branch, attention_out = self.attention_out.backward(self.attention_drop.backward(slope))
        branch, qkv = self.qkv.backward(self.attention.backward(branch))
        return slope + self.attention_norm.backward(branch), [qkv, attention_out, mlp_in, mlp_out]

    def r_forward(self, moved: Tensor, directions: Sequence[Tensor]) -> Tensor:
        """Residual stream and weights move."""
        qkv, attention_out, mlp_in, mlp_out = directions
        branch = self.attention.r_forward(self.qkv.r_forward(self.attention_norm.r_forward(moved), qkv))
        moved = moved + self.attention_drop.r_forward(self.attention_out.r_forward(branch, attention_out))
        branch = self.activation.r_forward(self.mlp_in.r_forward(self.mlp_norm.r_forward(moved), mlp_in))
        return moved + self.mlp_drop.r_forward(self.mlp_out.r_forward(branch, mlp_out))

    def r_backward(self, slope: Tensor, wanted: Collection[str]) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
        """Derivatives of ``backward``'s results, and of the gradient by the wanted dials of this block, [members]."""
        dials: dict[str, Tensor] = {}
        if "dropout" in wanted:
            dials["dropout"] = self.mlp_drop.r_rate(slope)
        branch, mlp_out = self.mlp_out.r_backward(self.mlp_drop.r_backward(slope))
        branch, mlp_in = self.mlp_in.r_backward(self.activation.r_backward(branch))
        slope = slope + self.mlp_norm.r_backward(branch)
        if "dropout" in wanted:
            dials["dropout"] += self.attention_drop.r_rate(slope)
        branch, attention_out = self.attention_out.r_backward(self.attention_drop.r_backward(slope))
        branch, by_q = self.attention.r_backward(branch)
        if "attention_multiplier" in wanted:
            dials["attention_multiplier"] = self.attention.r_multiplier(by_q)
        branch, qkv = self.qkv.r_backward(branch)
        return slope + self.attention_norm.r_backward(branch), [qkv, attention_out, mlp_in, mlp_out], dials


class TransformerPasses(Passes):
    """Passes of the whole transformer by hand.

    Args:
        tensors: weights in the order of ``named_parameters``, each [members, *shape].
        inputs: tokens [members, batch, context].
        dials: those that are on, each [members]; ``dropout`` [members, blocks].
        noise: for the dials, with members in front.
        d_head: size of a head.
        activation: of the MLP.
    """

    def __init__(
        self, tensors: Sequence[Tensor], inputs: Tensor, dials: Dials, noise: Noise, d_head: int, activation: str
    ) -> None:
        self.tokens, self.positions, *weights, readout, self.bias = tensors
        members, examples, self.context = inputs.shape
        self.dials, self.noise = dials, noise
        # A table for each member, one below the other.
        entries = self.tokens.shape[1] * torch.arange(members, device=inputs.device)
        self.entries = (inputs + entries[:, None, None]).flatten()
        self.shape = (members, examples, self.context)
        self.blocks = []
        for index in range(len(weights) // 4):
            drops = [self._dropout(index, branch) for branch in ("attention", "mlp")]
            attention = Attention(examples, d_head, dials.get("attention_multiplier"))
            self.blocks.append(Block(weights[4 * index : 4 * index + 4], attention, drops, activation))
        self.norm, self.readout = Normalisation(), Linear(readout)

    def forward(self) -> Tensor:
        """Logits, [members, batch, context, classes]."""
        dials = {name: dial[:, None, None, None] for name, dial in self.dials.items()}
        hidden = self._rows(noisy(self._embedded(self.tokens, self.positions), dials, self.noise))
        for block in self.blocks:
            hidden = block.forward(hidden)
        logits = self.readout.forward(self.norm.forward(hidden)) + self.bias[:, None]
        return logits.view(*self.shape, -1)

    def backward(self, slope: Tensor) -> list[Tensor]:
        """Gradient by every weight, in the order of ``named_parameters``."""
        rows = self._rows(slope)
        hidden, readout = self.readout.backward(rows)
        hidden, found = self.norm.backward(hidden), [readout, rows.sum(1)]
        for block in reversed(self.blocks):
            hidden, weights = block.backward(hidden)
            found = [*weights, *found]
        return [*self._to_tables(hidden), *found]

    def r_forward(self, directions: Sequence[Tensor]) -> Tensor:
        """Derivative of the logits along a direction of all weights."""
        tokens, positions, *weights, readout, bias = directions
        moved = self._rows(self._embedded(tokens, positions))
        for index, block in enumerate(self.blocks):
            moved = block.r_forward(moved, weights[4 * index : 4 * index + 4])
        logits = self.readout.r_forward(self.norm.r_forward(moved), readout).add_(bias[:, None])
        return logits.view(*self.shape, -1)

    def r_backward(self, slope: Tensor, wanted: Collection[str]) -> tuple[list[Tensor], Mapping[str, Tensor]]:
        """Derivatives of the gradients by every weight, and of that by the dials that are wanted."""
        rows = self._rows(slope)
        hidden, readout = self.readout.r_backward(rows)
        hidden, found = self.norm.r_backward(hidden), [readout, rows.sum(1)]
        by_block: list[dict[str, Tensor]] = []
        for block in reversed(self.blocks):
            hidden, weights, by_dial = block.r_backward(hidden, wanted)
            found, by_block = [*weights, *found], [by_dial, *by_block]
        dials = {name: torch.stack([by_dial[name] for by_dial in by_block], dim=1) for name in by_block[0]}
        if "attention_multiplier" in dials:
            dials["attention_multiplier"] = dials["attention_multiplier"].sum(1)
        if "input_noise" in wanted:
            dials["input_noise"] = (hidden * self._rows(self.noise["input"])).sum((1, 2))
        return [*self._to_tables(hidden), *found], dials

    def _rows(self, values: Tensor) -> Tensor:
        return values.view(self.shape[0], self.shape[1] * self.context, -1)

    def _dropout(self, block: int, branch: str) -> Dropout:
        if "dropout" not in self.dials:
            return Dropout(None, None)
        return Dropout(self.dials["dropout"][:, block], self._rows(self.noise[f"dropout.blocks.{block}.{branch}"]))

    def _embedded(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """[members, batch, context, width]"""
        rows = tokens.flatten(0, 1).index_select(0, self.entries).view(*self.shape, -1)
        return rows.add_(positions[:, None, : self.context])

    def _to_tables(self, hidden: Tensor) -> list[Tensor]:
        """Gradient by both embeddings of that by their sum."""
        width = hidden.shape[-1]
        tokens = hidden.new_zeros(self.tokens.shape).flatten(0, 1)
        tokens.index_add_(0, self.entries, hidden.view(-1, width))
        positions = torch.zeros_like(self.positions)
        positions[:, : self.context] = hidden.view(*self.shape, width).sum(1)
        return [tokens.view_as(self.tokens), positions]
