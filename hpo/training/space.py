"""The search space: hyperparameters with bijections, bounds and scopes, as one flat unconstrained vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.errors import Refused
from hpo.mup.labels import keys, label
from hpo.mup.resolve import acts
from windtunnel.types import HyperparameterName, JobSpec, Scope, TensorFacts
from windtunnel.types.hyperparameters import BIJECTIONS, Bijection
from windtunnel.types.schedules import ShapeName, is_shape


def constrain(unconstrained: Tensor, bijection: Bijection) -> Tensor:
    """Value of a hyperparameter; differentiable, elementwise."""
    match bijection:
        case "log":
            return torch.exp(unconstrained)
        case "logit":
            return torch.sigmoid(unconstrained)
        case "complement_logit":
            return torch.sigmoid(-unconstrained)


def unconstrain(value: Tensor, bijection: Bijection) -> Tensor:
    """Unconstrained coordinate of a value: the inverse of ``constrain``; differentiable, elementwise."""
    match bijection:
        case "log":
            return torch.log(value)
        case "logit":
            return torch.logit(value)
        case "complement_logit":
            return -torch.logit(value)


@dataclass(frozen=True)
class Hyperparameter:
    """One coordinate of the search space."""

    name: HyperparameterName
    scope: Scope
    key: str
    """Role (or group), tensor, layer or data source that it acts on, or the number of a knot; empty if one value serves
    all."""
    start: float
    low: float
    high: float

    @property
    def label(self) -> str:
        """Label such as ``learning_rate``, ``learning_rate.hidden`` or ``learning_rate.layers.1.weight``."""
        return label(self.name, self.key)

    @property
    def bijection(self) -> Bijection:
        """Map from the value to the unconstrained coordinate."""
        return BIJECTIONS[self.name]

    def acts_on(self, tensor: TensorFacts) -> bool:
        """True if this coordinate sets the hyperparameter of that tensor."""
        if not acts(self.name, tensor):
            return False
        match self.scope:
            case "global":
                return True
            case "role":
                return tensor.part == self.key
            case "tensor":
                return tensor.name == self.key
            case "layer":
                return False


class Space:
    """An ordered set of hyperparameters as a flat vector of k unconstrained float64 coordinates."""

    def __init__(self, hyperparameters: Sequence[Hyperparameter]) -> None:
        self.hyperparameters = tuple(hyperparameters)
        ends = [(item.low, item.high) for item in self.hyperparameters]
        corners = [self.coordinates(torch.tensor(side, dtype=torch.float64)) for side in zip(*ends, strict=True)]
        self.low = torch.minimum(*corners)
        self.high = torch.maximum(*corners)

    @classmethod
    def from_spec(cls, spec: JobSpec, tensors: Sequence[TensorFacts]) -> "Space":
        """The search space of a job: its search items, expanded over the roles or tensors of its proxy.

        Raises:
            Refused: an item acts on no tensor of this proxy, or a start is given for a value that is not searched.
        """
        found: list[Hyperparameter] = []
        for item in spec.search:
            low, high = item.range
            if spec.start_value(item.name) is None:
                raise Refused(f"{item.name} is searched but switched off in this spec")
            found_keys = keys(spec, item, tensors)
            if not found_keys:
                raise Refused(f"{item.name} with scope {item.scope!r} acts on no tensor of this proxy")
            for key in found_keys:
                start = spec.initial.get(label(item.name, key), spec.start_value(item.name, key))
                assert start is not None
                found.append(Hyperparameter(item.name, item.scope, key, min(max(start, low), high), low, high))
        if unknown := sorted(set(spec.initial) - {item.label for item in found}):
            raise Refused(f"initial names {unknown[0]!r}, which this search does not have")
        return cls(found)

    def __len__(self) -> int:
        return len(self.hyperparameters)

    @property
    def labels(self) -> list[str]:
        """Label of each coordinate."""
        return [item.label for item in self.hyperparameters]

    def start(self) -> Tensor:
        """Start of the search in unconstrained coordinates, [k]."""
        return self.coordinates(torch.tensor([item.start for item in self.hyperparameters], dtype=torch.float64))

    def clamp(self, point: Tensor) -> Tensor:
        """The nearest point inside the bounds, [..., k]."""
        low, high = (end.to(point.device, non_blocking=True) for end in (self.low, self.high))
        return torch.minimum(torch.maximum(point, low), high)

    def values(self, point: Tensor) -> Tensor:
        """Hyperparameter values [..., k] of unconstrained coordinates [..., k]; differentiable."""
        columns = [constrain(point[..., i], item.bijection) for i, item in enumerate(self.hyperparameters)]
        return torch.stack(columns, dim=-1)

    def schedule_shape(self, values: Tensor) -> dict[ShapeName, Tensor]:
        """Searched shape parameters of the schedule, from values [members, k]: each [members], knots [members, n]."""
        columns: dict[ShapeName, list[Tensor]] = {}
        for index, item in enumerate(self.hyperparameters):
            if is_shape(item.name):
                columns.setdefault(item.name, []).append(values[:, index])
        return {name: torch.stack(found, dim=1) if name == "knot" else found[0] for name, found in columns.items()}

    def as_dict(self, point: Tensor) -> dict[str, float]:
        """Label -> value of one point [k]."""
        return dict(zip(self.labels, self.values(point).tolist(), strict=True))

    def largest(self, point: Tensor, name: HyperparameterName) -> float | None:
        """Largest value of a hyperparameter over its coordinates at one point [k]; None if it is not searched."""
        values = self.values(point).tolist()
        own = [value for item, value in zip(self.hyperparameters, values, strict=True) if item.name == name]
        return max(own, default=None)

    def from_dict(self, values: Mapping[str, float]) -> Tensor:
        """The point [k] of a dictionary label -> value: the inverse of ``as_dict``."""
        return self.coordinates(torch.tensor([values[label] for label in self.labels], dtype=torch.float64))

    def with_value(self, point: Tensor, name: HyperparameterName, value: float) -> Tensor:
        """The point [k] with every coordinate of that hyperparameter set to one value, inside the bounds."""
        target = torch.tensor(value, dtype=point.dtype)
        changed = [
            unconstrain(target, item.bijection) if item.name == name else point[i]
            for i, item in enumerate(self.hyperparameters)
        ]
        return self.clamp(torch.stack(changed))

    def coordinates(self, values: Tensor) -> Tensor:
        """Unconstrained coordinates [..., k] of hyperparameter values [..., k]: the inverse of ``values``."""
        columns = [unconstrain(values[..., i], item.bijection) for i, item in enumerate(self.hyperparameters)]
        return torch.stack(columns, dim=-1)
