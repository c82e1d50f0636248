"""Operations on numbers or arrays that a schedule's formula may use: their meaning, and their implementation for floats.

A formula may also use Python's own operators and ``abs``.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

Number = Any
"""A float, or an array of the library whose operations are passed."""


class Operations(Protocol):
    """Operations on one kind of number. An array is [times, members], or broadcasts to it."""

    def where(self, condition: Any, yes: Number, no: Number, /) -> Number:
        """``yes`` where the condition holds, ``no`` elsewhere; both are evaluated everywhere."""

    def clip(self, value: Number, low: float | None, high: float | None, /) -> Number:
        """The value, within the bounds that are given."""

    def cos(self, value: Number, /) -> Number:
        """Cosine of radians."""

    def sqrt(self, value: Number, /) -> Number:
        """Square root."""

    def exp(self, value: Number, /) -> Number:
        """Exponential."""

    def log1p(self, value: Number, /) -> Number:
        """Natural logarithm of 1 + value."""

    def ceil(self, value: Number, /) -> Number:
        """Smallest whole number not below the value, as precise as all other values; without a derivative."""

    def exact(self, value: Number, /) -> Number:
        """The value in double precision where the library has it, for a comparison or ``ceil``; without a derivative."""

    def logs(self, values: Any, /) -> Any:
        """Natural logarithms of a sequence of numbers."""

    def interpolated(self, share: Number, values: Any, /) -> Number:
        """The piecewise linear function of a share in [0, 1] through a sequence of values at equal distances."""


class Floats:
    """The operations of a schedule's formula on plain numbers."""

    cos: Callable[[float], float] = math.cos
    sqrt: Callable[[float], float] = math.sqrt
    exp: Callable[[float], float] = math.exp
    log1p: Callable[[float], float] = math.log1p
    ceil: Callable[[float], float] = math.ceil
    exact: Callable[[float], float] = float

    @staticmethod
    def where(condition: bool, yes: float, no: float) -> float:
        return yes if condition else no

    @staticmethod
    def clip(value: float, low: float | None, high: float | None) -> float:
        value = value if low is None else max(value, low)
        return value if high is None else min(value, high)

    @staticmethod
    def logs(values: Sequence[float]) -> list[float]:
        return [math.log(value) for value in values]

    @staticmethod
    def interpolated(share: float, values: Sequence[float]) -> float:
        place = share * (len(values) - 1)
        left = min(int(place), len(values) - 2)
        return (left + 1 - place) * values[left] + (place - left) * values[left + 1]
