"""The tensors of a layout in two parts: matrices, stacked by shape, and the rest, as one flat vector."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from hpo.layout import Layout
from hpo.optimizers.rule import Tables
from windtunnel.types.optimizers.muon import MATRICES

AT_ONCE = 2**22
"""Most numbers of matrices that are stacked. More would only take memory: a product of that size fills a device."""


@dataclass(frozen=True)
class Shape:
    """The matrices of one shape among the tensors of a layout."""

    rows: int
    columns: int
    places: tuple[int, ...]
    """Numbers of the tensors, in the layout's order."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns


@dataclass(frozen=True)
class Parts:
    """The tensors of a layout in two parts: matrices by shape, and the rest."""

    matrices: tuple[Shape, ...]
    rest: tuple[int, ...]
    """Numbers of the tensors that AdamW moves."""
    layout: Layout
    """Layout of those."""

    def take(self, slices: Sequence[Tensor]) -> Tensor:
        """Flat vector of the rest, [members, Q], from slices [members, size] of all tensors."""
        return torch.cat([slices[place] for place in self.rest], dim=1) if self.rest else slices[0][:, :0]

    def put(self, slices: Sequence[Tensor], flat: Tensor) -> None:
        """Copies a flat vector of the rest, [members, Q], into slices [members, size] of all tensors."""
        for place, tensor in zip(self.rest, self.layout.slices(flat), strict=True):
            slices[place].copy_(tensor)

    def spread(self, cotangent: Tensor, table: Tensor) -> Tensor:
        """Cotangent of a table of all tensors, from that of the table of the rest; 0 for matrices."""
        if cotangent.shape[1] != len(self.rest) or table.shape[1] == 1:
            return cotangent
        found = cotangent.new_zeros(len(cotangent), table.shape[1])
        found[:, list(self.rest)] = cotangent
        return found

    def tables(self, tables: Tables, names: Collection[str]) -> dict[str, Tensor]:
        """Tables of a step for the tensors of the rest, by name; names that it does not have are left out."""
        rest = list(self.rest)
        found = {name: tables[name] for name in names if name in tables}
        return {name: table if table.shape[1] == 1 else table[:, rest] for name, table in found.items()}


@lru_cache(maxsize=8)
def parts_of(layout: Layout) -> Parts:
    """The parts of a layout: tensors of the roles in ``MATRICES``, and all others."""
    shapes: dict[tuple[int, int], list[int]] = {}
    rest: list[int] = []
    for place, fact in enumerate(layout.tensors):
        if fact.role in MATRICES:
            shapes.setdefault((fact.shape[0], prod(fact.shape[1:])), []).append(place)
        else:
            rest.append(place)
    matrices = tuple(Shape(*shape, tuple(places)) for shape, places in shapes.items())
    return Parts(matrices, tuple(rest), Layout([layout.tensors[place] for place in rest]))


def groups(parts: Parts, members: int) -> Iterator[Shape]:
    """The matrices by shape, in groups of at most ``AT_ONCE`` numbers."""
    for shape in parts.matrices:
        most = max(1, AT_ONCE // (members * shape.rows * shape.columns))
        for first in range(0, len(shape.places), most):
            yield Shape(shape.rows, shape.columns, shape.places[first : first + most])


def stack(slices: Sequence[Tensor], group: Shape) -> Tensor:
    """The tensors of a group, [members, count, rows * columns], from slices [members, size] of all tensors."""
    return torch.stack([slices[place] for place in group.places], dim=1)
