"""Update rule: the change that an optimizer makes to a population's parameters, and its derivatives.

A state is a tuple of flat tensors [members, P] that begins with the parameters. A rule reads its coefficients by name from
the tables of one step, ``Coefficients.at``: ``learning_rate`` [members, n] for n tensors, ``clip_norm`` [members, 1], the
decays ``shrink`` and ``coupled_decay`` [members, n], and settings of its own, [members, 1] or [members, n]. A table that
is off is absent. Clipping and both decays are the same under every rule:

    g <- clip(g) + coupled_decay * w        w <- (1 - shrink) * w - learning_rate * move
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from higher.optim import DifferentiableOptimizer
from torch import Tensor

from hpo.layout import Layout
from hpo.noise import Step
from hpo.optimizers.clipping import Clip, clip_by_global_norm, clip_scale
from windtunnel.types import TensorRow
from windtunnel.types.optimizers import Options

OptimizerState = tuple[Tensor, ...]
Tables = Mapping[str, Tensor]
Cotangents = dict[str, Tensor]
"""Table name -> derivative by that table, in the table's shape."""


@dataclass(frozen=True)
class Applied:
    """One update that was made: its state before and after, and its arguments."""

    before: OptimizerState
    after: OptimizerState
    gradient: Tensor
    """Gradient of the training loss, before clipping, [members, P]."""
    tables: Tables
    """Coefficients of that step, by name: ``Coefficients.at``."""
    layout: Layout
    step: Step

    def total(self, name: str, flat: Tensor) -> Tensor:
        """Cotangent of a table that was spread over [members, P], summed over the parameters that share a value."""
        return flat.sum(dim=1, keepdim=True) if self.tables[name].shape[1] == 1 else self.layout.sums(flat)


class Rule(ABC):
    """An optimizer's update rule. The methods with a default are right for every rule; a rule may have a faster form.

    References:
        Each rule names its own; ``windtunnel.types.optimizers`` holds the facts about it that need no tensor.
    """

    def with_options(self, options: Options) -> "Rule":  # noqa: ARG002
        """The rule under a choice of the optimizer's options; a rule without options is always the same."""
        return self

    @abstractmethod
    def init(self, parameters: Tensor) -> OptimizerState:
        """State before the first update, beginning with the parameters [members, P]; differentiable in them."""

    @abstractmethod
    def update(self, state: OptimizerState, gradient: Tensor, tables: Tables, layout: Layout, step: Step) -> OptimizerState:
        """State after update number ``step`` (from 0): clipped, moved, decayed. Pure and differentiable in every tensor.

        Args:
            state: state before the update; it is not changed.
            gradient: gradient of the training loss, [members, P].
            tables: coefficients of that step.
            layout: tensors that the parameters form.
            step: number of the update.
        """

    def in_place(self, state: OptimizerState, gradient: Tensor, tables: Tables, layout: Layout, step: Step) -> None:
        """Moves the state in its own memory as ``update`` does, up to rounding; no graph; may overwrite the gradient."""
        for part, moved in zip(state, self.update(state, gradient, tables, layout, step), strict=True):
            part.copy_(moved)

    def pull_back(
        self, update: Applied, adjoint: OptimizerState, wanted: Collection[str]
    ) -> tuple[OptimizerState, Tensor, Cotangents]:
        """Vector-Jacobian product of ``update``; by default automatic differentiation of it.

        Args:
            update: the update that was made.
            adjoint: adjoint of each part of the state after, [members, P]; its memory may be reused for the result.
            wanted: names of the tables whose cotangents are needed.

        Returns:
            The adjoint of the state before, without what reaches the parameters through the loss; that of the gradient,
            [members, P]; and the cotangents.
        """
        return by_autograd(self, update, adjoint, wanted)

    def for_higher(self) -> type[DifferentiableOptimizer] | None:
        """The rule as an optimizer of the package ``higher``, one tensor at a time; None: there is none.

        Its parameter groups hold ``role``, and as tensors ``lr``, ``shrink``, ``l2`` and the rule's own settings by name.
        It shares no code with ``update``, so that each can check the other.
        """
        return None

    @abstractmethod
    def gradient_rates(
        self, rows: Sequence[TensorRow], state: OptimizerState, tables: Tables, layout: Layout, member: int, steps: int
    ) -> list[float]:
        """Mean factor from a gradient to the update of each tensor, in the layout's order, after ``steps`` updates.

        Args:
            rows: learning rate and eps of each tensor, in the layout's order.
            state: state after the last update.
            tables: coefficients of the updates.
            layout: layout of the state.
            member: index of the member whose state is read.
            steps: number of updates done.
        """


def by_autograd(
    rule: Rule, update: Applied, adjoint: OptimizerState, wanted: Collection[str]
) -> tuple[OptimizerState, Tensor, Cotangents]:
    """``Rule.pull_back`` by automatic differentiation of ``Rule.update``. It works for any rule; closed forms equal it."""
    inputs = [part.detach().requires_grad_() for part in (*update.before, update.gradient)]
    tables = {name: table.detach().requires_grad_() for name, table in update.tables.items()}
    with torch.enable_grad():
        after = rule.update(tuple(inputs[:-1]), inputs[-1], tables, update.layout, update.step)
        leaves = [*inputs, *(tables[name] for name in wanted)]
        # A part of the state that does not depend on any of them has no graph.
        moved = [(part, pulled) for part, pulled in zip(after, adjoint, strict=True) if part.requires_grad]
        heads, cotangents = zip(*moved, strict=True)
        found = torch.autograd.grad(heads, leaves, grad_outputs=cotangents, materialize_grads=True)
    count = len(inputs)
    return tuple(found[: count - 1]), found[count - 1], dict(zip(wanted, found[count:], strict=True))


def spread(tables: Tables, layout: Layout) -> dict[str, Tensor]:
    """Tables of a step with one value for each parameter, [members, P]; a table [members, 1] stays as it is."""
    return {name: table if table.shape[1] == 1 else layout.expand(table) for name, table in tables.items()}


def seen_gradient(gradient: Tensor, parameters: Tensor, terms: Tables) -> Tensor:
    """Gradient [members, P] after clipping and with L2 coupled in, as a rule uses it; ``terms`` are spread tables."""
    if "clip_norm" in terms:
        gradient = clip_by_global_norm(gradient, terms["clip_norm"])
    return torch.addcmul(gradient, terms["coupled_decay"], parameters) if "coupled_decay" in terms else gradient


def shrunk(parameters: Tensor, terms: Tables) -> Tensor:
    """Parameters [members, P] after decoupled or independent decay; ``terms`` are spread tables."""
    return torch.addcmul(parameters, terms["shrink"], parameters, value=-1) if "shrink" in terms else parameters


def clip_and_couple_(gradient: Tensor, parameters: Tensor, tables: Tables, layout: Layout) -> None:
    """Clips a gradient [members, P] and couples L2 in, in place; never spreads a tensor's shared value over a vector.

    Vectors of the size of a population's parameters do not fit a core's cache, so time goes by how often they are read and
    written.
    """
    if "clip_norm" in tables:
        gradient.mul_(clip_scale(gradient, tables["clip_norm"]))
    if "coupled_decay" in tables:
        gradient.add_(layout.multiply_(parameters.clone(), tables["coupled_decay"]))


def shrink_(parameters: Tensor, tables: Tables, layout: Layout) -> None:
    """Applies decoupled or independent decay to parameters [members, P], in place."""
    if "shrink" in tables:
        layout.multiply_(parameters, 1 - tables["shrink"])


Product = Callable[[Applied, Tensor, OptimizerState, Collection[str], Cotangents], Tensor]
"""(update, gradient that the rule saw, adjoint, wanted, found) -> adjoint of what the rule saw, [members, P].

Closed form of a rule without clipping and decay. The seen gradient [members, P] is used up; parts of the adjoint but the
parameters' become those of the state before; ``found`` gets the cotangents of the rule's own tables that are wanted.
"""


def pulled_back(
    update: Applied, adjoint: OptimizerState, wanted: Collection[str], product: Product
) -> tuple[OptimizerState, Tensor, Cotangents]:
    """``Rule.pull_back`` from a closed form of the rule alone: adds clipping and decay, in the adjoint's memory.

    Automatic differentiation gives the same numbers, with three times the kernels and with cotangents of tables that are
    not wanted.
    """
    found: Cotangents = {}
    parameters, tables = update.before[0], update.tables
    clip = Clip(update.gradient, tables["clip_norm"]) if "clip_norm" in tables else None
    seen = update.gradient.clone() if clip is None else clip.scale * update.gradient
    if "coupled_decay" in tables:
        seen += update.layout.multiply_(parameters.clone(), tables["coupled_decay"])
    if "shrink" in wanted:
        found["shrink"] = -update.total("shrink", adjoint[0] * parameters)
    to_gradient = product(update, seen, adjoint, wanted, found)
    if "shrink" in tables:
        update.layout.multiply_(adjoint[0], 1 - tables["shrink"])
    if "coupled_decay" in wanted:
        found["coupled_decay"] = update.total("coupled_decay", to_gradient * parameters)
    if "coupled_decay" in tables:
        adjoint[0].add_(update.layout.multiply_(to_gradient.clone(), tables["coupled_decay"]))
    if clip is not None:
        to_threshold = clip.pull_back_(to_gradient)
        if "clip_norm" in wanted:
            found["clip_norm"] = to_threshold
    return adjoint, to_gradient, found
