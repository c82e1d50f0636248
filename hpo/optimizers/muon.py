"""Muon (Jordan et al. 2024): hidden matrices move by their orthogonalised momentum, all other tensors by AdamW.

    b <- momentum b + (1 - momentum) g        u = b, with nesterov (1 - momentum) g + momentum b
    w <- (1 - shrink) w - lr adjust(rows, columns) NewtonSchulz(u)

as torch.optim.Muon does, but in the precision of the parameters, where torch's iterations are in bfloat16. A matrix is a
tensor of role ``hidden``, as [first dimension, all others]: a convolution's weight is [channels out, channels in * window].
"""

from collections.abc import Collection, Sequence
from math import sqrt
from typing import Any

import torch
from higher.optim import DifferentiableOptimizer
from torch import Tensor

from hpo.layout import Layout
from hpo.noise import Step
from hpo.optimizers.adam import RULE as ADAM
from hpo.optimizers.adam import DifferentiableAdam, adam, adam_product
from hpo.optimizers.newton_schulz import LEAST_NORM, A, B, C, Orthogonalised, orthogonalised
from hpo.optimizers.parts import Shape, groups, parts_of, stack
from hpo.optimizers.rule import (
    Applied,
    Cotangents,
    OptimizerState,
    Rule,
    Tables,
    clip_and_couple_,
    pulled_back,
    seen_gradient,
    shrink_,
    shrunk,
    spread,
)
from windtunnel.types import TensorRow
from windtunnel.types.optimizers import Options
from windtunnel.types.optimizers.muon import ADJUSTMENTS, MATRICES, OPTIONS

ADAM_TABLES = ("learning_rate", "beta1", "beta2", "eps", "shrink")


class Muon(Rule):
    """Muon for matrices and AdamW for the rest. State: (parameters, momentum or first moment, second moment).

    Matrices have no second moment: its place stays 0.

    Args:
        options: ``nesterov``, ``ns_steps`` and ``adjust_lr_fn``.
    """

    def __init__(self, options: Options = OPTIONS) -> None:
        chosen = {**OPTIONS, **options}
        self.nesterov, self.iterations = bool(chosen["nesterov"]), int(chosen["ns_steps"])
        self.adjustment = ADJUSTMENTS[str(chosen["adjust_lr_fn"])]

    def with_options(self, options: Options) -> "Muon":
        """Muon with these options."""
        return Muon(options)

    def init(self, parameters: Tensor) -> OptimizerState:
        """State before the first update: (parameters, momentum or first moment, second moment), the last two 0."""
        return ADAM.init(parameters)

    def update(self, state: OptimizerState, gradient: Tensor, tables: Tables, layout: Layout, step: Step) -> OptimizerState:
        """State after update number ``step``; differentiable in every tensor, through the iterations."""
        parts, members = parts_of(layout), len(gradient)
        before = [layout.slices(part) for part in state]
        coupled = {name: tables[name] for name in ("clip_norm", "coupled_decay") if name in tables}
        seen = layout.slices(seen_gradient(gradient, state[0], spread(coupled, layout)))
        decays = spread({"shrink": tables["shrink"]} if "shrink" in tables else {}, layout)
        kept = layout.slices(shrunk(state[0], decays))
        after: list[list[Tensor]] = [list(part) for part in before]

        terms = spread(parts.tables(tables, ADAM_TABLES), parts.layout)
        rest: OptimizerState = tuple(parts.take(part) for part in before)
        moved = adam((rest[0], rest[1], rest[2]), parts.take(seen), terms, step)
        for whole, part in zip(after, moved, strict=True):
            for place, tensor in zip(parts.rest, parts.layout.slices(part), strict=True):
                whole[place] = tensor
        for group in groups(parts, members):
            momentum = tables["momentum"][:, :, None]
            gradients, buffer = stack(seen, group), stack(before[1], group)
            buffer = torch.lerp(gradients, buffer, momentum.expand_as(buffer))
            move = self._orthogonalised(self._looked_ahead(gradients, buffer, momentum), group)
            rates = tables["learning_rate"][:, list(group.places), None] * self._factor(group)
            places = torch.addcmul(stack(kept, group), rates, move, value=-1).unbind(1)
            for place, weights, average in zip(group.places, places, buffer.unbind(1), strict=True):
                after[0][place], after[1][place] = weights, average
        return tuple(torch.cat(part, dim=1) for part in after)

    def in_place(self, state: OptimizerState, gradient: Tensor, tables: Tables, layout: Layout, step: Step) -> None:
        """Moves the state in its own memory as ``update`` does, up to rounding; overwrites the gradient."""
        parts, members = parts_of(layout), len(gradient)
        clip_and_couple_(gradient, state[0], tables, layout)
        slices, seen = [layout.slices(part) for part in state], layout.slices(gradient)
        rest = tuple(parts.take(part) for part in slices)
        ADAM.in_place(rest, parts.take(seen), parts.tables(tables, ADAM_TABLES), parts.layout, step)
        momentum = tables["momentum"][:, :, None]
        moves: dict[int, Tensor] = {}
        for group in groups(parts, members):
            gradients, buffer = stack(seen, group), stack(slices[1], group)
            buffer = torch.lerp(gradients, buffer, momentum.expand_as(buffer))
            move = self._orthogonalised(self._looked_ahead(gradients, buffer, momentum), group)
            move = move * (tables["learning_rate"][:, list(group.places), None] * self._factor(group))
            for place, average, each in zip(group.places, buffer.unbind(1), move.unbind(1), strict=True):
                slices[1][place].copy_(average)
                moves[place] = each
        shrink_(state[0], tables, layout)
        for place, move in moves.items():
            slices[0][place].sub_(move)
        for whole, part in zip(slices, rest, strict=True):
            parts.put(whole, part)

    def pull_back(
        self, update: Applied, adjoint: OptimizerState, wanted: Collection[str]
    ) -> tuple[OptimizerState, Tensor, Cotangents]:
        """Adjoints of state and gradient, and the wanted cotangents, by the closed form of ``update``'s derivative."""
        return pulled_back(update, adjoint, wanted, self._product)

    def for_higher(self) -> type[DifferentiableOptimizer]:
        """Muon as an optimizer of the package ``higher``."""
        return type("DifferentiableMuon", (_DifferentiableMuon,), {"rule": self})

    def gradient_rates(
        self, rows: Sequence[TensorRow], state: OptimizerState, tables: Tables, layout: Layout, member: int, steps: int
    ) -> list[float]:
        """Learning rate of each tensor over the size of its gradients; of a matrix, size of a step over its momentum's."""
        rates = ADAM.gradient_rates(rows, state, tables, layout, member, steps)
        averages = layout.split(state[1])
        for shape in parts_of(layout).matrices:
            for place in shape.places:
                size = torch.linalg.vector_norm(averages[place][member]).item()
                step = rows[place].learning_rate * self._factor(shape) * sqrt(min(shape.rows, shape.columns))
                rates[place] = step / size if size else 0.0
        return rates

    def _factor(self, shape: Shape) -> float:
        return self.adjustment.factor(shape.rows, shape.columns)

    def _looked_ahead(self, gradients: Tensor, buffer: Tensor, momentum: Tensor) -> Tensor:
        """The momentum, or with nesterov its mean with the gradient: it is orthogonalised next."""
        return torch.lerp(gradients, buffer, momentum.expand_as(buffer)) if self.nesterov else buffer

    def _orthogonalised(self, moves: Tensor, group: Shape) -> Tensor:
        """Orthogonalised matrices, [members, count, rows * columns] like ``moves``."""
        flat = orthogonalised(moves.reshape(-1, group.rows, group.columns), self.iterations)
        return flat.reshape(moves.shape)

    def _product(
        self, update: Applied, seen: Tensor, adjoint: OptimizerState, wanted: Collection[str], found: Cotangents
    ) -> Tensor:
        """Pullback of a step without clipping and decay, in the form of ``Product``: AdamW's for the rest, then Muon's."""
        layout, tables, parts = update.layout, update.tables, parts_of(update.layout)
        members, to_seen = len(seen), torch.empty_like(seen)
        to_gradients, back = layout.slices(to_seen), [layout.slices(part) for part in adjoint]
        before, after = ([layout.slices(part) for part in state] for state in (update.before, update.after))
        gradients = layout.slices(seen)

        own = parts.tables(tables, ADAM_TABLES)
        was, now = (tuple(map(parts.take, state)) for state in (before, after))
        rest = Applied(was, now, seen, own, parts.layout, update.step)
        to_rest = tuple(map(parts.take, back))
        own_wanted, by_table = [name for name in wanted if name in own], Cotangents()
        parts.put(to_gradients, adam_product(rest, parts.take(gradients), to_rest, own_wanted, by_table))
        parts.put(back[1], to_rest[1])
        parts.put(back[2], to_rest[2])
        for name, cotangent in by_table.items():
            found[name] = parts.spread(cotangent, tables[name])

        by_rate, by_momentum = [torch.zeros_like(seen[:, 0])] * len(gradients), torch.zeros_like(seen[:, :1])
        momentum = tables["momentum"][:, :, None]
        for group in groups(parts, members):
            given, earlier, buffer = (stack(each, group) for each in (gradients, before[1], after[1]))
            step = Orthogonalised(self._looked_ahead(given, buffer, momentum).reshape(-1, *group.shape), self.iterations)
            to_weights = stack(back[0], group) * -self._factor(group)
            for place, each in zip(
                group.places, (to_weights * step.result.reshape(given.shape)).sum(2).unbind(1), strict=True
            ):
                by_rate[place] = each
            to_move = to_weights.mul_(tables["learning_rate"][:, list(group.places), None]).reshape(-1, *group.shape)
            to_ahead = step.pull_back(to_move).reshape(given.shape)
            to_buffer = stack(back[1], group)
            if self.nesterov:
                to_buffer += momentum * to_ahead
                by_momentum += torch.einsum("mcs,mcs->m", to_ahead, buffer - given)[:, None]
                to_given = (1 - momentum) * (to_ahead + to_buffer)
            else:
                to_buffer += to_ahead
                to_given = (1 - momentum) * to_buffer
            by_momentum += torch.einsum("mcs,mcs->m", to_buffer, earlier - given)[:, None]
            for place, to_one, to_other in zip(
                group.places, to_given.unbind(1), (momentum * to_buffer).unbind(1), strict=True
            ):
                to_gradients[place].copy_(to_one)
                back[1][place].copy_(to_other)
        if "learning_rate" in wanted and parts.matrices:
            rates = found.get("learning_rate", torch.zeros_like(tables["learning_rate"]))
            found["learning_rate"] = rates + torch.stack(by_rate, dim=1)
        if "momentum" in wanted:
            found["momentum"] = by_momentum
        return to_seen


class _DifferentiableMuon(DifferentiableAdam):
    """Muon for ``higher``, per tensor: Adam's direction for all but matrices, and for these the formula as written."""

    rule: Muon

    def _direction(self, group: dict[str, Any], memory: dict[str, Any], gradient: Tensor) -> Tensor:
        if group["role"] not in MATRICES:
            return super()._direction(group, memory, gradient)
        momentum = group["momentum"]
        buffer = memory["buffer"] = momentum * memory.get("buffer", 0.0) + (1 - momentum) * gradient
        matrix = ((1 - momentum) * gradient + momentum * buffer if self.rule.nesterov else buffer).flatten(1)
        if not matrix.any():
            return torch.zeros_like(gradient)
        found = matrix / torch.linalg.matrix_norm(matrix).clamp(min=LEAST_NORM)
        for _ in range(self.rule.iterations):
            gram = found @ found.T
            found = A * found + B * gram @ found + C * gram @ gram @ found
        move: Tensor = self.rule.adjustment.factor(*matrix.shape) * found.reshape(gradient.shape)
        return move


RULE = Muon()
