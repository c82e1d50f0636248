"""Outer variables: a dictionary of tensors as one flat vector, and the parts of a problem that each of them acts on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from hpo.errors import InvalidProblem


@dataclass(frozen=True)
class Variables:
    """Names and shapes of the outer variables, and their places in a vector of k numbers."""

    names: Sequence[str]
    shapes: Sequence[tuple[int, ...]]

    @classmethod
    def of(cls, outer: Mapping[str, Tensor]) -> "Variables":
        """Variables of a dictionary of tensors.

        Raises:
            InvalidProblem: it is no dictionary of finite floating-point tensors, or it is empty.
        """
        if not isinstance(outer, Mapping) or not outer:
            given = "empty" if isinstance(outer, Mapping) else type(outer).__name__
            raise InvalidProblem(f"outer is {given}; give a dictionary of tensors")
        for name, value in outer.items():
            if not isinstance(value, Tensor) or not value.is_floating_point():
                kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
                raise InvalidProblem(f"outer {name!r} is {kind}; outer variables are floating-point tensors")
            if not value.isfinite().all():
                raise InvalidProblem(f"outer {name!r} has entries that are not finite; start from finite numbers")
        return cls([*outer], [tuple(value.shape) for value in outer.values()])

    @property
    def size(self) -> int:
        """Number k of entries in all."""
        return sum(map(prod, self.shapes))

    def flat(self, outer: Mapping[str, Tensor]) -> Tensor:
        """Vector [k] of the variables' entries."""
        return torch.cat([outer[name].detach().reshape(-1) for name in self.names])

    def split(self, points: Tensor) -> dict[str, Tensor]:
        """Views [..., *shape] of vectors [..., k], by name; differentiable."""
        parts = torch.split_with_sizes(points, [prod(shape) for shape in self.shapes], dim=-1)
        lead = points.shape[:-1]
        return {
            name: part.reshape((*lead, *shape)) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }
