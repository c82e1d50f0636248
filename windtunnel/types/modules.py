"""The shapes of a module of one's own as functions of width and depth."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from math import log
from typing import Literal, TypeVar

from pydantic import Field, PrivateAttr

from windtunnel.types.base import Response
from windtunnel.types.tensors import FrozenLaw, FrozenTensor, TensorFacts, TensorLaw, left_out


def _is_one(value: int) -> bool:
    """Whether a distance of widths is left out, because every width is as good."""
    return value == 1


class PassCost(Response):
    """Cost of a forward pass of one example, (at the base width, at the delta width)."""

    saved: tuple[int, int]
    """Floats that a training pass keeps for its backward pass."""
    multiply_adds: tuple[int, int]
    """Multiply-adds of the forward pass."""


class MeasuredWidth(Response):
    """True sizes of a module at one width, tensor by tensor."""

    shapes: list[list[int]]
    fan_in: list[int]
    frozen: list[list[int]] = Field(default_factory=list, exclude_if=operator.not_)
    """Shapes of the parameters that are not trained."""
    saved: int | None = None
    """Floats that a training pass of one example keeps; None: by the power law through base and delta width."""
    multiply_adds: int | None = None
    """Multiply-adds of the forward pass of one example; None likewise."""


Measure = Callable[[int], MeasuredWidth]
"""Width -> true sizes; raises ValueError for a width that the module cannot have."""


class ModuleInfo(Response):  # noqa: PLW1641 - a frozen model gets its hash from pydantic
    """The tensors of a module of one's own at every width and depth, as ``windtunnel roles --save`` writes them."""

    base: int
    delta: int
    depth: int
    """Depth of the module that was described."""
    tensors: list[TensorLaw]
    """Tensors of the module that are trained, in the order of ``named_parameters``."""
    frozen: list[FrozenLaw] = Field(default_factory=list, exclude_if=operator.not_)
    """Parameters with ``requires_grad=False``, in the same order."""
    stacks: dict[str, int] = Field(default_factory=dict)
    """Name of a list of layers -> entries that it gains with each further depth. Empty: the depth is fixed."""
    cost: PassCost
    warnings: list[str] = Field(default_factory=list)
    """Sentences about facts that shapes cannot show, and cases in which muP is known to break."""
    measured: dict[int, MeasuredWidth] = Field(default_factory=dict, exclude_if=left_out)
    """Width -> true sizes, of a module whose sizes are rounded: it has no others. Empty: all lie on the lines."""

    step: int = Field(1, exclude_if=_is_one)
    """Distance of the widths, counted from ``base``, at which sizes lie on the lines; between them they are rounded."""

    _measure: Measure | None = PrivateAttr(None)

    def __eq__(self, other: object) -> bool:
        """Whether the fields are equal: another process has the table without its module."""
        return isinstance(other, ModuleInfo) and self.__dict__ == other.__dict__

    def measuring(self, measure: Measure) -> "ModuleInfo":
        """The table with true sizes at every width, from the module itself, which is in this process."""
        found = self.model_copy()
        found._measure = measure
        return found

    def tensors_at(self, width: int, depth: int) -> list[TensorFacts]:
        """Every tensor of the module of that size.

        Raises:
            ValueError: a tensor would have a fraction of a unit, or the module does not have that depth.
        """
        self.check_depth(depth)
        facts: list[TensorFacts] = []
        at = self.sizes_at(width)
        for law, sizes, fan_in in zip(self.tensors, at.shapes, at.fan_in, strict=True):
            std = law.init_std
            if law.at_fan_in:
                std = max(1, fan_in) ** -0.5
            facts.append(
                TensorFacts(
                    name=law.name,
                    shape=sizes,
                    role=law.role,
                    init_std=std,
                    init_value=law.init_value,
                    flipped=law.flipped,
                    over=law.over,
                    fan_in=fan_in if law.fan_in_fits else None,
                    padding=law.padding,
                    readout=law.readout,
                    matrix=law.matrix,
                )
            )
        return deepened(facts, self.stacks, self.ends, depth - self.depth)

    def frozen_at(self, width: int, depth: int) -> list[FrozenTensor]:
        """Every frozen parameter of the module of that size; errors as of ``tensors_at``."""
        self.check_depth(depth)
        found = [
            FrozenTensor(name=law.name, shape=shape)
            for law, shape in zip(self.frozen, self.sizes_at(width).frozen, strict=True)
        ]
        return deepened(found, self.stacks, self.ends, depth - self.depth)

    @property
    def ends(self) -> dict[str, int]:
        """Name of each list of layers -> index of its last entry, whether that is trained or frozen."""
        return ends_of([*(law.name for law in self.tensors), *(law.name for law in self.frozen)])

    def sizes_at(self, width: int) -> MeasuredWidth:
        """Shapes and fan-ins of the tensors at a width.

        Raises:
            ValueError: the module cannot have that width, or its sizes are rounded and not known there.
        """
        if width in self.measured:
            return self.measured[width]
        if self._measure is not None:
            return self._measure(width)
        if self.measured:
            raise ValueError(
                f"width {width}: sizes of this module are rounded, and its table has them at widths "
                f"{', '.join(map(str, sorted(self.measured)))} only; take one of these, or write the table with that "
                f"width: windtunnel roles PACKAGE.MODULE:TASK --save FILE --width {width}"
            )
        if (width - self.base) % self.step:
            raise ValueError(
                f"width {width}: sizes of this module are rounded there; its table has them at widths {self.step} apart, "
                f"{self.base} among them, such as {width - (width - self.base) % self.step}"
            )
        return self.on_lines(width)

    def on_lines(self, width: int) -> MeasuredWidth:
        """Sizes at a width on the lines through those of the base and the delta width.

        Raises:
            ValueError: a tensor would have a fraction of a unit.
        """
        shapes, frozen = (
            [[self._on_line(law.name, *pair, width) for pair in zip(law.shape, law.grown, strict=True)] for law in laws]
            for laws in (self.tensors, self.frozen)
        )
        fans = [law.fan_in_at(sizes) for law, sizes in zip(self.tensors, shapes, strict=True)]
        return MeasuredWidth(shapes=shapes, fan_in=fans, frozen=frozen)

    def check_width(self, width: int) -> None:
        """Refuse, by ValueError, a width at which a tensor would have a fraction of a unit."""
        self.tensors_at(width, self.depth)

    def check_depth(self, depth: int) -> None:
        """Refuse, by ValueError, a depth that the module does not have."""
        if not self.stacks and depth != self.depth:
            raise ValueError(f"depth {depth} of a module whose depth is fixed; allowed: {self.depth}")
        if depth < self.depth:
            raise ValueError(
                f"depth {depth} is below the {self.depth} that the module is described at; allowed: at least that"
            )

    def saved_at(self, width: int, depth: int) -> int:
        """Floats that a training pass keeps, estimated: a power law in the width, proportional to the depth."""
        return self._scaled(self.sizes_at(width).saved, depth) or self._power(*self.cost.saved, width, depth)

    def multiply_adds_at(self, width: int, depth: int) -> int:
        """Multiply-adds of a forward pass, estimated: a power law in the width, proportional to the depth."""
        known = self._scaled(self.sizes_at(width).multiply_adds, depth)
        return known or self._power(*self.cost.multiply_adds, width, depth)

    def _scaled(self, known: int | None, depth: int) -> int | None:
        return None if known is None else max(1, round(known * depth / self.depth))

    def _on_line(self, name: str, low: int, high: int, width: int) -> int:
        size, rest = divmod((high - low) * (width - self.base), self.delta - self.base)
        if rest or low + size < 1:
            raise ValueError(
                f"width {width}: tensor {name!r} has {low} units at width {self.base} and {high} at {self.delta}, "
                f"which makes no whole number here"
            )
        return low + size

    def _power(self, low: int, high: int, width: int, depth: int) -> int:
        exponent = log(max(high, 1) / max(low, 1)) / log(self.delta / self.base)
        grown: float = low * (width / self.base) ** exponent
        return max(1, round(grown * depth / self.depth))


PLACE = re.compile(r"(?:^|\.)(\d+)\.")


def place(name: str) -> tuple[str, int, str] | None:
    """(stack, index, rest) of the name of a tensor in a list of layers, such as ``blocks.3.first.weight``; else None."""
    found = PLACE.search(name)
    if found is None:
        return None
    return name[: found.start()], int(found[1]), name[found.end() :]


def ends_of(names: Iterable[str]) -> dict[str, int]:
    """Name of each list of layers -> index of its last entry, from the names of tensors."""
    found: dict[str, int] = {}
    for name in names:
        if (where := place(name)) is not None:
            found[where[0]] = max(found.get(where[0], 0), where[1])
    return found


Named = TypeVar("Named", TensorFacts, FrozenTensor)


def deepened(facts: list[Named], stacks: Mapping[str, int], ends: Mapping[str, int], more: int) -> list[Named]:
    """The tensors of a module deeper by ``more``: each stack gains its entries per depth, as copies of its last entries.

    Args:
        facts: some tensors of the module, in its order.
        stacks: name of a list of layers -> entries that it gains with each further depth.
        ends: name of a list of layers -> index of its last entry.
        more: further depth.
    """
    if more == 0:
        return facts
    made: list[Named] = []
    for index, fact in enumerate(facts):
        made.append(fact)
        where = place(fact.name)
        following = place(facts[index + 1].name) if index + 1 < len(facts) else None
        if where is None or where[0] not in stacks or (following is not None and following[0] == where[0]):
            continue
        stack, last = where[0], ends[where[0]]
        gain = stacks[stack]
        entries = [(found[1], found[2], item) for item in facts if (found := place(item.name)) and found[0] == stack]
        for round_ in range(1, more + 1):
            for old, rest, item in entries:
                if old > last - gain:
                    name = f"{stack}.{old + round_ * gain}.{rest}" if stack else f"{old + round_ * gain}.{rest}"
                    made.append(item.model_copy(update={"name": name}))
    return made


InputKind = Literal["floats", "tokens"]
