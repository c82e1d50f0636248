"""From hyperparameters to the coefficients of every update: scopes, schedule and decay kind, as one small graph.

The engine differentiates a run with respect to the tables here; the ordinary backward pass through this file then gives
the hypergradient, whatever the scope, the bijection or the schedule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from hpo.layout import Layout
from hpo.schedules import multipliers
from hpo.space import ROLES_WITHOUT, Space
from hpo.updates import StepCoefficients
from windtunnel.types import HyperparameterName, JobSpec


@dataclass(frozen=True)
class Coefficients:
    """Tables for a whole run. T updates, n tensors."""

    learning_rate: Tensor
    """[T, members, n]"""
    shrink: Tensor | None
    """[T, members, n]; None without decoupled or independent decay."""
    l2: Tensor | None
    """[members, n]; None without L2."""
    init_scale: Tensor
    """[members, n]"""
    output_multiplier: Tensor
    """[members]"""
    clip_norm: Tensor | None
    """[members, 1]; None without clipping."""
    momentum: Tensor | None
    """[members, 1], as are the three below; None where the rule has none."""
    beta1: Tensor | None
    beta2: Tensor | None
    eps: Tensor | None

    def tables(self) -> dict[str, Tensor]:
        """The tables that are in use, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: table for name, table in found.items() if table is not None}

    def detached(self) -> "Coefficients":
        """The same numbers without their graph."""
        return replace(self, **{name: table.detach() for name, table in self.tables().items()})

    def at(self, step: int) -> dict[str, Tensor]:
        """Tables of one update: those that change over time at that step, [members, n]; the others as they are."""
        used = {name: table for name, table in self.tables().items() if name not in BEFORE_THE_UPDATE}
        return {name: table[step] if name in OVER_TIME else table for name, table in used.items()}


OVER_TIME = frozenset({"learning_rate", "shrink"})
BEFORE_THE_UPDATE = frozenset({"init_scale", "output_multiplier"})
"""Tables that act on the initial state or inside the loss, not in the update rule."""


def expanded(tables: Mapping[str, Tensor], layout: Layout) -> StepCoefficients:
    """What ``Coefficients.at`` gives, with one value a parameter where it had one a tensor."""
    return StepCoefficients(
        learning_rate=layout.expand(tables["learning_rate"]),
        shrink=layout.expand(tables["shrink"]) if "shrink" in tables else None,
        l2=layout.expand(tables["l2"]) if "l2" in tables else None,
        clip_norm=tables.get("clip_norm"),
        momentum=tables.get("momentum"),
        beta1=tables.get("beta1"),
        beta2=tables.get("beta2"),
        eps=tables.get("eps"),
    )


def coefficients(spec: JobSpec, space: Space, layout: Layout, points: Tensor) -> Coefficients:
    """Coefficients of a population.

    Args:
        spec: optimizer, schedule and the values that are not searched.
        space: what the coordinates mean.
        layout: the tensors of the proxy.
        points: unconstrained coordinates, [members, k]; the result is differentiable in them.
    """
    values = space.values(points)
    every_tensor = range(len(layout.tensors))

    def column(name: HyperparameterName) -> Tensor | None:
        """Value of a global hyperparameter, [members]; None where it is switched off."""
        for index, item in enumerate(space.hyperparameters):
            if item.name == name:
                return values[:, index]
        fixed = spec.start_value(name)
        return None if fixed is None else torch.full_like(points[:, 0], fixed)

    def per_tensor(name: HyperparameterName) -> Tensor:
        """Value of a scoped hyperparameter for each tensor, [members, n]; 0 where it does not act."""
        return torch.stack([_value_for(name, spec, space, values, layout, tensor) for tensor in every_tensor], dim=1)

    shape = {name: found for name in _searched_shape(space) if (found := column(name)) is not None}
    schedule = multipliers(spec.schedule, spec.inner.steps, {str(k): v for k, v in shape.items()}, points)[:, :, None]
    learning_rate = schedule * per_tensor("learning_rate")
    decay = per_tensor("weight_decay")
    kind = spec.optimizer.decay_kind
    shrink = {"decoupled": learning_rate * decay, "independent": schedule * decay}.get(kind)
    output = column("output_multiplier")
    assert output is not None

    def broadcast(name: HyperparameterName) -> Tensor | None:
        found = column(name)
        return None if found is None else found[:, None]

    is_sgd = spec.optimizer.name == "sgd"
    return Coefficients(
        learning_rate=learning_rate,
        shrink=shrink,
        l2=decay if kind == "l2" else None,
        init_scale=per_tensor("init_scale"),
        output_multiplier=output,
        clip_norm=broadcast("clip_norm"),
        momentum=broadcast("momentum") if is_sgd else None,
        beta1=None if is_sgd else broadcast("beta1"),
        beta2=None if is_sgd else broadcast("beta2"),
        eps=None if is_sgd else broadcast("eps"),
    )


def _searched_shape(space: Space) -> Sequence[HyperparameterName]:
    return [item.name for item in space.hyperparameters if item.name in ("warmup_fraction", "floor")]


def _value_for(
    name: HyperparameterName, spec: JobSpec, space: Space, values: Tensor, layout: Layout, tensor: int
) -> Tensor:
    facts = layout.tensors[tensor]
    for index, item in enumerate(space.hyperparameters):
        if item.name == name and item.acts_on(facts):
            return values[:, index]
    fixed = 0.0 if facts.role in ROLES_WITHOUT.get(name, frozenset()) else spec.start_value(name)
    assert fixed is not None
    return torch.full_like(values[:, 0], fixed)
