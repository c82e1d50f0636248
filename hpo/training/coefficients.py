"""Turns hyperparameters into the coefficients of every update: scopes, schedule and decay kind, as one small graph.

The engine differentiates a run with respect to the tables here; the ordinary backward pass through this file then gives
the hypergradient, whatever the scope, the bijection or the schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.devices import moved
from hpo.layout import Layout
from hpo.mup.resolve import acts
from hpo.noise import Step
from hpo.schedules import multipliers
from hpo.training.space import Space
from windtunnel.types import HyperparameterName, JobSpec
from windtunnel.types.hyperparameters import SCOPED

Tables = Mapping[str, Tensor]


@dataclass(frozen=True)
class Coefficients:
    """Tables of hyperparameters for a whole run of T updates and n tensors, grouped by the place where they act."""

    initial: Tables
    """Tables that act on the initial weights: ``init_scale`` [members, n]."""
    loss: Tables
    """Tables that act inside the training loss: ``output_multiplier``, ``embedding_multiplier``, ``attention_multiplier``,
    ``input_noise``, ``augmentation``, ``label_smoothing`` [members]; ``dropout`` [members, layers]; ``l2`` [members, n];
    ``mixture_weight`` [members, sources]. A table that is off is absent."""
    update: Tables
    """Tables that are the same in every update: ``clip_norm``, ``momentum``, ``beta1``, ``beta2`` [members, 1]; ``eps``
    [members, 1], or [members, n] if tensors differ in it; ``coupled_decay``, the optimizer's own L2, [members, n]."""
    scheduled: Tables
    """Tables that change over the updates, [T, members, n]: ``learning_rate``, and ``shrink`` if decay is decoupled or
    independent."""

    def tables(self) -> dict[str, Tensor]:
        """All tables, by name."""
        return {**self.initial, **self.loss, **self.update, **self.scheduled}

    def live(self) -> dict[str, Tensor]:
        """Tables that depend on a coordinate of the search space, by name."""
        return {name: table for name, table in self.tables().items() if table.requires_grad}

    def detached(self) -> "Coefficients":
        """A copy of the coefficients without their autograd graph."""
        return Coefficients(*(detached(group) for group in (self.initial, self.loss, self.update, self.scheduled)))

    def of(self, members: slice) -> "Coefficients":
        """The coefficients of some of the members."""
        initial, loss, update = (of_members(group, members) for group in (self.initial, self.loss, self.update))
        return Coefficients(initial, loss, update, {name: table[:, members] for name, table in self.scheduled.items()})

    def at(self, step: Step) -> dict[str, Tensor]:
        """Tables of update ``step``: scheduled tables at that step, [members, n], and the constant ones of ``update``."""
        return {**self.update, **{name: row_of(table, step) for name, table in self.scheduled.items()}}

    def on(self, device: torch.device) -> "Coefficients":
        """The coefficients on a device, differentiable from there."""
        return Coefficients(*(moved(group, device) for group in (self.initial, self.loss, self.update, self.scheduled)))


def row_of(table: Tensor, step: Step, dim: int = 0) -> Tensor:
    """The part of a tensor over time at one step; of a step on a device it is taken there, and nobody waits for it."""
    return table.select(dim, step) if isinstance(step, int) else table.index_select(dim, step.view(1)).squeeze(dim)


def detached(tables: Tables) -> dict[str, Tensor]:
    """The tables without their autograd graph."""
    return {name: table.detach() for name, table in tables.items()}


def of_members(tables: Tables, members: slice) -> dict[str, Tensor]:
    """The rows of some of the members, of tables whose first axis is members."""
    return {name: table[members] for name, table in tables.items()}


def coefficients(spec: JobSpec, space: Space, layout: Layout, points: Tensor) -> Coefficients:
    """Coefficients of a population at points of the search space.

    Args:
        spec: optimizer, schedule and the values that are not searched.
        space: the search space, which gives the coordinates their meaning.
        layout: the tensors of the proxy.
        points: unconstrained coordinates, [members, k]; the result is differentiable in them.
    """
    chosen = _Values(spec, space, layout, space.values(points))
    schedule = _schedule(chosen)[:, :, None]
    learning_rate = schedule * chosen.per_tensor("learning_rate")
    decay = chosen.per_tensor("weight_decay")
    kind = spec.optimizer.decay_kind
    scheduled = {"learning_rate": learning_rate}
    if kind != "l2":
        scheduled["shrink"] = learning_rate * decay if kind == "decoupled" else schedule * decay
    settings = spec.optimizer.info.settings
    alike: list[HyperparameterName] = ["clip_norm", *(name for name in settings if name not in SCOPED)]
    columns = {name: chosen.column(name) for name in alike}
    update: dict[str, Tensor] = {name: column[:, None] for name, column in columns.items() if column is not None}
    for name in settings:
        if name in SCOPED:
            update[name] = chosen.per_tensor(name) if chosen.is_scoped(name) else chosen.sole(name)[:, None]
    if kind == "l2":
        update["coupled_decay"] = decay
    return Coefficients({"init_scale": chosen.per_tensor("init_scale")}, _in_the_loss(chosen), update, scheduled)


def loss_tables(spec: JobSpec, space: Space, layout: Layout, points: Tensor) -> dict[str, Tensor]:
    """Tables of the training loss alone, at points [rows, k]."""
    return _in_the_loss(_Values(spec, space, layout, space.values(points)))


def _schedule(chosen: "_Values") -> Tensor:
    """Learning-rate multiplier of every update, [T, members]."""
    spec, shape = chosen.spec, chosen.space.schedule_shape(chosen.values)
    return multipliers(spec.schedule, spec.inner.steps, shape, chosen.values, spec.tokens_per_step)


FORWARD: tuple[HyperparameterName, ...] = (
    "output_multiplier",
    "embedding_multiplier",
    "attention_multiplier",
    "input_noise",
    "augmentation",
    "label_smoothing",
)


def _in_the_loss(chosen: "_Values") -> dict[str, Tensor]:
    """Tables of the training loss, without multipliers that are not searched (they are 1) and regularisers that are off."""
    spec = chosen.spec
    tables: dict[str, Tensor] = {}
    for name in FORWARD:
        column = chosen.column(name)
        if column is not None and (spec.searches(name) or not name.endswith("multiplier")):
            tables[name] = column
    if spec.start_value("dropout") is not None:
        tables["dropout"] = chosen.per_layer("dropout")
    if spec.start_value("l2") is not None:
        tables["l2"] = chosen.per_tensor("l2")
    items = enumerate(chosen.space.hyperparameters)
    weights = [chosen.values[:, index] for index, item in items if item.name == "mixture_weight"]
    if weights:
        tables["mixture_weight"] = torch.stack(weights, dim=1)
    return tables


@dataclass(frozen=True)
class _Values:
    """Hyperparameter values of a population, searched or fixed by the spec."""

    spec: JobSpec
    space: Space
    layout: Layout
    values: Tensor
    """Values of the search space's coordinates, [members, k]."""

    def column(self, name: HyperparameterName) -> Tensor | None:
        """Value of a global hyperparameter, [members]; None if it is switched off."""
        for index, item in enumerate(self.space.hyperparameters):
            if item.name == name:
                return self.values[:, index]
        fixed = self.spec.start_value(name)
        return None if fixed is None else torch.full_like(self.values[:, 0], fixed)

    def sole(self, name: HyperparameterName) -> Tensor:
        """Value of a global hyperparameter that cannot be switched off, [members]."""
        column = self.column(name)
        assert column is not None
        return column

    def is_scoped(self, name: HyperparameterName) -> bool:
        """True if the search gives tensors different values of it."""
        return any(item.name == name and item.scope != "global" for item in self.space.hyperparameters)

    def per_tensor(self, name: HyperparameterName) -> Tensor:
        """Value of a scoped hyperparameter for each tensor, [members, n]; 0 for tensors that it does not act on."""
        return torch.stack([self._for_tensor(name, tensor) for tensor in range(len(self.layout.tensors))], dim=1)

    def per_layer(self, name: HyperparameterName) -> Tensor:
        """Value of a hyperparameter for each hidden layer or block, [members, layers]."""
        items = enumerate(self.space.hyperparameters)
        own = {item.key: self.values[:, index] for index, item in items if item.name == name and item.scope == "layer"}
        if own:
            return torch.stack([own[layer] for layer in self.spec.model.layers], dim=1)
        return self.sole(name)[:, None].repeat(1, len(self.spec.model.layers))

    def _for_tensor(self, name: HyperparameterName, tensor: int) -> Tensor:
        facts = self.layout.tensors[tensor]
        for index, item in enumerate(self.space.hyperparameters):
            if item.name == name and item.acts_on(facts):
                return self.values[:, index]
        fixed = self.spec.start_value(name) if acts(name, facts) else 0.0
        assert fixed is not None
        return torch.full_like(self.values[:, 0], fixed)
