"""Facts of tensors: their roles under muP, and one tensor at two widths."""

import operator
from collections.abc import Sequence
from itertools import combinations
from math import prod
from typing import Any, Literal

from pydantic import Field

from windtunnel.types.base import Response

Role = Literal["input", "hidden", "output", "vector", "scalar"]
"""Role of a tensor under muP. ``input`` maps a fixed number of inputs to the width, ``hidden`` the width to the width,
``output`` the width to a fixed number of outputs; a ``vector`` has one number a unit, a ``scalar`` does not grow."""
ROLES: tuple[Role, ...] = ("input", "hidden", "output", "vector", "scalar")


def left_out(value: Any) -> bool:
    """Whether a field of few modules is left out of the JSON of all others."""
    return not value and value is not False


def is_none(value: Any) -> bool:
    """Whether a field that may be 0 has no value."""
    return value is None


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
    fan_in: int | None = Field(None, exclude_if=left_out)
    """Numbers that one output sums over, where a module of one's own tells; None: all dimensions but the first."""
    over: list[int] | None = Field(None, exclude=True)
    """Dimensions that one output sums over, where a module of one's own tells; None: not known."""
    padding: int | None = Field(None, exclude_if=is_none)
    """Row of an embedding that starts at 0 and stays there, its ``padding_idx``; None: no row does."""
    readout: bool | None = Field(None, exclude_if=left_out)
    """Whether its output is the model's output, so that alpha multiplies it; None: true of every tensor of role output."""
    matrix: bool | None = Field(None, exclude_if=left_out)
    """Whether a tensor that does not grow is a weight with a fan-in, and no bias or temperature; None: it is none."""
    tied: bool = Field(False, exclude_if=operator.not_)
    """Whether an embedding of a built-in family is the readout, too, which has a multiplier of its own then."""

    @property
    def makes_outputs(self) -> bool:
        """Whether the output multiplier alpha acts on it."""
        return self.role == "output" if self.readout is None else self.readout

    @property
    def decayed(self) -> bool:
        """Whether weight decay and L2 act on it: matrices are decayed, biases, gains and temperatures are not."""
        return self.role in ("input", "hidden", "output") or (self.role == "scalar" and bool(self.matrix))

    @property
    def random(self) -> bool:
        """Whether it starts at random values.

        Biases start at 0. So does what makes the outputs, which muP prefers at zero, unless a deviation is given.
        """
        if self.init_value is not None:
            return False
        if self.init_std is not None:
            return self.init_std > 0
        return self.decayed and not self.makes_outputs

    @property
    def is_table(self) -> bool:
        """Whether its rows are looked up or added, so that it multiplies nothing: [entries, width]."""
        return self.role == "input" and self.flipped and self.fan_in in (None, 1)

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
    over: list[int] | None = Field(None, exclude_if=left_out)
    """Dimensions that one output sums over; None: the last ones that explain how its fan-in grows."""
    init_std: float | None = None
    """Standard deviation of the initial values at every proxy width; None: sqrt(1 / fan-in), 0 for biases and ``zero``."""
    init_value: float | None = None
    """Initial value of all entries; None: they start at random values."""
    why: str = ""
    """Reason for the role."""
    tied: bool = False
    """Whether several layers share it."""
    padding: int | None = Field(None, exclude_if=is_none)
    """Row of an embedding that starts at 0 and stays there, its ``padding_idx``; None: no row does."""
    readout: bool | None = Field(None, exclude_if=left_out)
    """Whether its output is the module's output, so that alpha multiplies it; None: true of every tensor of role output."""
    matrix: bool | None = Field(None, exclude_if=left_out)
    """Whether a tensor that does not grow is a weight with a fan-in, and no bias or temperature; None: it is none."""
    zero: bool = Field(False, exclude_if=operator.not_)
    """Whether it starts at 0 where ``readout`` is given; where it is not, what makes the outputs does anyway."""

    @property
    def makes_outputs(self) -> bool:
        """Whether its output is the module's output."""
        return self.role == "output" if self.readout is None else self.readout

    @property
    def flipped(self) -> bool:
        """True if it is stored as [fan_in, fan_out, ...]."""
        fans = [list(pair) for pair in zip(self.shape, self.grown, strict=True)]
        match self.role:
            case "hidden":
                return len(fans) == 2 and list(self.fan_in) == fans[0] != fans[1]
            case "input":
                return fans[0][0] == fans[0][1]
            case "output":
                return len(fans) > 1 and fans[1][0] == fans[1][1]
            case "vector" | "scalar":
                return False

    @property
    def fan_in_fits(self) -> bool:
        """True if the fan-in grows as the role says; where it is not known, or a given role contradicts it, it may not."""
        low, high = self.fan_in
        return low < high if self.role in ("hidden", "output") else low == high

    @property
    def summed(self) -> tuple[int, ...]:
        """Growing dimensions that one output sums over."""
        low, high = self.fan_in
        growing = [index for index, pair in enumerate(zip(self.shape, self.grown, strict=True)) if pair[0] != pair[1]]
        if self.over is not None:
            return tuple(index for index in growing if index in self.over)
        return next(
            (
                some
                for count in range(len(growing) + 1)
                for some in combinations(reversed(growing), count)
                if low * prod(self.grown[index] for index in some) == high * prod(self.shape[index] for index in some)
            ),
            tuple(growing[-1:]),
        )

    def fan_in_at(self, sizes: Sequence[int]) -> int:
        """Fan-in at other sizes: it grows as the dimensions do that are summed over.

        Args:
            sizes: shape of the tensor at another width.
        """
        grown, start = (prod(shape[index] for index in self.summed) for shape in (sizes, self.shape))
        return self.fan_in[0] * grown // start

    @property
    def at_fan_in(self) -> bool:
        """Whether it starts random, with the deviation of its fan-in."""
        if self.init_value is not None or self.init_std is not None:
            return False
        inside = self.readout is not None and (self.role == "output" or bool(self.matrix)) and not self.zero
        return self.role in ("input", "hidden") or inside


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
