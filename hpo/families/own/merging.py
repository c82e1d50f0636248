"""Follows products of parameters, as merged low-rank factors, to what activations are summed over with them."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch._ops import OpOverload

from hpo.families.own.entries import ADDS, SAME_PLACES, SUMMED_AXES, Shadow, varies

Products = Sequence[tuple[str, Tensor]]
"""(parameter, positions of one of its entries that each entry of a tensor is a sum over)."""


class Sight(Protocol):
    """Knowledge of the tensors of a forward pass."""

    live: set[int]

    def place(self, value: Tensor) -> int:
        """Key of a tensor's storage."""

    def pure(self, value: Tensor) -> list[Shadow]:
        """Shadows of a tensor that holds entries of parameters alone."""

    def dimensions(self, parameter: str, positions: Tensor) -> tuple[int, ...]:
        """Dimensions of a parameter along which its entries differ within one of the sums [outputs, ..., terms]."""


class Merging:
    """Record of the products of parameters in one forward pass."""

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        self.among: dict[str, tuple[int, ...]] = {}
        """Parameter that is multiplied with others -> its dimensions that activations are summed over with the product."""
        self._shadows: dict[int, list[Shadow]] = {}

    def products(self, func: OpOverload, given: Sequence[Tensor]) -> Products:
        """Products in the result of an operation that is not done yet; empty but for operations that make or keep one."""
        name = func.overloadpacket.__name__.rstrip("_")
        if name in SUMMED_AXES:
            axes = SUMMED_AXES[name]
            return self._contracted([pair for pair in zip(given, axes, strict=False) if pair[1]])
        at_places = torch.Tag.pointwise in func.tags or name in (*ADDS, *SAME_PLACES, "clone")
        if not at_places or any(map(self._is_activation, given)) or not any(map(self._merged, given)):
            return []
        return [(each.parameter, each.of(value)) for value in given for each in self._parts(value)]

    def note(self, result: Tensor, products: Products) -> None:
        """Note that a tensor holds these products."""
        for parameter, positions in products:
            if not _expands(positions, result):
                continue  # of a vector and a matrix
            entries = result.untyped_storage().nbytes() // result.element_size()
            flat = torch.full((entries,), -1)
            placed = flat.as_strided(result.shape, result.stride(), result.storage_offset())
            placed.copy_(positions.expand(result.shape))
            shadow = Shadow(parameter, flat, result.element_size())
            self._shadows.setdefault(self.sight.place(result), []).append(shadow)

    def _contracted(self, factors: Sequence[tuple[Tensor, tuple[int, ...]]]) -> Products:
        for value, summed in factors:
            for each in self._merged(value):
                if varies(each.of(value), summed):
                    positions = each.of(value).movedim(summed, tuple(range(-len(summed), 0))).flatten(-len(summed))
                    over = {*self.among.get(each.parameter, ()), *self.sight.dimensions(each.parameter, positions)}
                    self.among[each.parameter] = tuple(sorted(over))
        if len(factors) != 2 or not all(self._parts(value) for value, _ in factors):
            return []
        found = []
        for value, summed in factors:
            for each in self._parts(value):
                self.among.setdefault(each.parameter, ())
                first = each.of(value)
                for axis in summed:
                    first = first.narrow(axis, 0, 1)
                found.append((each.parameter, first))
        return found

    def _merged(self, value: Tensor) -> list[Shadow]:
        found = self._shadows.get(self.sight.place(value), [])
        return [each for each in found if each.bytes == value.element_size()]

    def _parts(self, value: Tensor) -> list[Shadow]:
        return [*self._merged(value), *self.sight.pure(value)]

    def _is_activation(self, value: Tensor) -> bool:
        """Whether a tensor depends on the inputs, or is taken for one that does and is no product of parameters."""
        return self.sight.place(value) in self.sight.live and not self._merged(value)


def _expands(value: Tensor, to: Tensor) -> bool:
    """Whether a tensor can be expanded to the shape of another."""
    sizes = zip(reversed(value.shape), reversed(to.shape), strict=False)
    return value.dim() <= to.dim() and all(small in (1, large) for small, large in sizes)
