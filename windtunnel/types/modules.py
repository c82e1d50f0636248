"""Facts of tensors: their roles under muP, and the shapes of a module of one's own as functions of width and depth."""

import re
from collections.abc import Iterable, Mapping
from math import log
from typing import Literal, TypeVar

from pydantic import Field

from windtunnel.types.base import Response

Role = Literal["input", "hidden", "output", "vector", "scalar"]
"""Role of a tensor under muP. ``input`` maps a fixed number of inputs to the width, ``hidden`` the width to the width,
``output`` the width to a fixed number of outputs; a ``vector`` has one number a unit, a ``scalar`` does not grow."""
ROLES: tuple[Role, ...] = ("input", "hidden", "output", "vector", "scalar")


class TensorFacts(Response):
    """One parameter tensor of the proxy."""

    name: str
    shape: list[int]
    role: Role
    group: str | None = None
    """Finer name within the role, where the family has one: ``qkv``, ``attention-out``, ``mlp-in``, ``mlp-out``."""
    init_std: float | None = None
    """Standard deviation of its initial values; None: by the rule of its role."""
    init_value: float | None = None
    """Initial value of all its entries, such as 1 for the gain of a norm; None: the entries start at random values."""
    flipped: bool = False
    """Whether a module of one's own stores it as [fan_in, fan_out, ...]: a table of rows, a transposed convolution."""
    padding: int | None = None
    """Row of an embedding that starts at 0 and stays there, its ``padding_idx``; None: no row does."""

    @property
    def part(self) -> str:
        """Name of its part under the scope ``role``: its group, or its role where it has no group."""
        return self.group or self.role


class TensorLaw(Response):
    """One tensor of a module at two widths: its size at every other width lies on the line through these two."""

    name: str
    role: Role
    shape: list[int]
    """Shape at the base width."""
    grown: list[int]
    """Shape at the delta width."""
    fan_in: tuple[int, int]
    """Numbers that one output sums over, at the base and at the delta width."""
    init_std: float | None = None
    """Standard deviation of the initial values at every proxy width; None: sqrt(1 / fan-in), 0 for readouts and biases."""
    init_value: float | None = None
    """Initial value of all entries; None: they start at random values."""
    why: str = ""
    """Reason for the role."""
    tied: bool = False
    """Whether several layers share it."""
    padding: int | None = None
    """Row of an embedding that starts at 0 and stays there, its ``padding_idx``; None: no row does."""


class FrozenTensor(Response):
    """One parameter with ``requires_grad=False``: it keeps the module's own values, and has no learning rate."""

    name: str
    shape: list[int]


class FrozenLaw(Response):
    """A frozen parameter at two widths; ``shape`` is that at the base width."""

    name: str
    shape: list[int]
    grown: list[int]
    """Shape at the delta width."""


class PassCost(Response):
    """Cost of a forward pass of one example, (at the base width, at the delta width)."""

    saved: tuple[int, int]
    """Floats that a training pass keeps for its backward pass."""
    multiply_adds: tuple[int, int]
    """Multiply-adds of the forward pass."""


class ModuleInfo(Response):
    """The tensors of a module of one's own at every width and depth, as ``windtunnel roles --save`` writes them."""

    base: int
    delta: int
    depth: int
    """Depth of the module that was described."""
    tensors: list[TensorLaw]
    """Tensors of the module that are trained, in the order of ``named_parameters``."""
    frozen: list[FrozenLaw] = Field(default_factory=list)
    """Parameters with ``requires_grad=False``, in the same order."""
    stacks: dict[str, int] = Field(default_factory=dict)
    """Name of a list of layers -> entries that it gains with each further depth. Empty: the depth is fixed."""
    cost: PassCost
    warnings: list[str] = Field(default_factory=list)
    """Sentences about facts that shapes cannot show, and cases in which muP is known to break."""

    def tensors_at(self, width: int, depth: int) -> list[TensorFacts]:
        """Every tensor of the module of that size.

        Raises:
            ValueError: a tensor would have a fraction of a unit, or the module does not have that depth.
        """
        self.check_depth(depth)
        facts: list[TensorFacts] = []
        for law in self.tensors:
            std = law.init_std
            if law.init_value is None and std is None and law.role not in ("output", "vector", "scalar"):
                std = max(1, self._on_line(law.name, *law.fan_in, width)) ** -0.5
            sizes = [self._on_line(law.name, *pair, width) for pair in zip(law.shape, law.grown, strict=True)]
            still = 1 if law.role == "output" else 0
            facts.append(
                TensorFacts(
                    name=law.name,
                    shape=sizes,
                    role=law.role,
                    init_std=std,
                    init_value=law.init_value,
                    flipped=law.role in ("input", "output") and law.shape[still] == law.grown[still],
                    padding=law.padding,
                )
            )
        return deepened(facts, self.stacks, self.ends, depth - self.depth)

    def frozen_at(self, width: int, depth: int) -> list[FrozenTensor]:
        """Every frozen parameter of the module of that size; errors as of ``tensors_at``."""
        self.check_depth(depth)
        found = [
            FrozenTensor(
                name=law.name,
                shape=[self._on_line(law.name, *pair, width) for pair in zip(law.shape, law.grown, strict=True)],
            )
            for law in self.frozen
        ]
        return deepened(found, self.stacks, self.ends, depth - self.depth)

    @property
    def ends(self) -> dict[str, int]:
        """Name of each list of layers -> index of its last entry, whether that is trained or frozen."""
        return ends_of([*(law.name for law in self.tensors), *(law.name for law in self.frozen)])

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
        return self._power(*self.cost.saved, width, depth)

    def multiply_adds_at(self, width: int, depth: int) -> int:
        """Multiply-adds of a forward pass, estimated: a power law in the width, proportional to the depth."""
        return self._power(*self.cost.multiply_adds, width, depth)

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
