"""Tells a parameter's role from how a forward pass uses it at two widths. Imports no torch."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import isclose, prod
from typing import Literal

from hpo.mup.roles import Evidence, Shape, is_one_a_unit
from windtunnel.types.tensors import Role

UseKind = Literal["summed", "looked up", "added", "scaled"]


@dataclass(frozen=True)
class Use:
    """One way in which a forward pass uses a parameter."""

    kind: UseKind
    """``summed``: one output is a sum over entries, as of a matrix or a convolution; ``looked up``: rows of a table are
    taken; ``added`` or put among activations, as a bias or a class token; ``scaled``: activations are multiplied by it."""
    fan_in: int = 1
    """Numbers that one output sums over."""
    over: tuple[int, ...] = ()
    """Dimensions of the parameter that one output sums over."""
    among: tuple[int, ...] | None = None
    """Dimensions that activations are summed over with its product with another parameter, as of a low-rank weight; None:
    no other parameter is multiplied with it."""
    repeats: bool = False
    """Whether it is one factor of a weight, or sums share its entries, so that the number of terms is not its fan-in."""


def evidence_of_uses(low: Collection[Use], high: Collection[Use], base: Shape, delta: Shape) -> Evidence | None:
    """Evidence of a parameter's role from its uses; None: no use is known, or the uses at the two widths differ in kind.

    Args:
        low: uses at the base width.
        high: uses at the delta width.
        base: shape at the base width.
        delta: shape at the delta width.
    """
    kinds = {use.kind for use in low}
    if not kinds or kinds != {use.kind for use in high} or len(base) != len(delta):
        return None
    growing = tuple(index for index, (small, large) in enumerate(zip(base, delta, strict=True)) if small != large)
    if any(use.repeats for use in low):
        return Evidence(None, "a weight is computed from it, whose entries are not each its own", open=True, ask=True)
    if kinds == {"summed"}:
        found = _summed(low, high, base, delta, growing)
        return replace(found, summed=True, over=max(low, key=lambda use: use.fan_in).over)
    if "looked up" in kinds:
        why = "its rows are looked up" + (", and it is used again, tied" if len(kinds) > 1 else "")
        return _settled("input", why, (1, 1), growing)
    if "summed" in kinds:
        return Evidence(None, f"forward uses it in several ways: it is {' and '.join(sorted(kinds))}", open=True, ask=True)
    return replace(_settled(*_one_by_one(kinds, base, growing), (1, 1), growing), summed=False)


def _one_by_one(kinds: Collection[UseKind], base: Shape, growing: tuple[int, ...]) -> tuple[Role, str]:
    """(role, reason) of a tensor whose entries are added to activations or multiply them."""
    if is_one_a_unit(base, growing):
        return "vector", "one number a unit"
    if "scaled" in kinds:
        return "vector", "forward multiplies by it: a few numbers a unit"
    return "input", "forward adds its rows"


def _summed(low: Collection[Use], high: Collection[Use], base: Shape, delta: Shape, growing: tuple[int, ...]) -> Evidence:
    """Evidence of a tensor that every use sums over: the role follows from which of its two fans grows."""
    fans = [(pick(use.fan_in for use in low), pick(use.fan_in for use in high)) for pick in (max, min)]
    m_in, other = (large / small for small, large in fans)
    if not isclose(m_in, other):
        least = f"{fans[1][0]} numbers at base and {fans[1][1]} at delta"
        most = f"{fans[0][0]} and {fans[0][1]}"
        return Evidence(None, f"one use of it sums over {least}, another over {most}", open=True, ask=True)
    m_out = prod(delta) / prod(base) / m_in
    if isclose(m_in, 1):
        one = len(base) > 2 and is_one_a_unit(base, growing)
        return _settled(
            "vector" if one else "input",
            "one number a unit" if one else "its fan-out grows, its fan-in does not",
            fans[0],
            growing,
        )
    if isclose(m_out, 1):
        return _settled("output", "its fan-in grows, its fan-out does not", fans[0], growing)
    return _settled("hidden", "both fans grow", fans[0], growing)


def _settled(role: Role, why: str, fan_in: tuple[int, int], growing: tuple[int, ...]) -> Evidence:
    """Evidence of the role where a tensor of so many growing dimensions can have it, else a question."""
    if not growing:
        return Evidence(None, "does not grow with the width", fan_in=fan_in)
    fits = len(growing) < 2 if role in ("input", "vector") else len(growing) <= 2
    return Evidence(role, why, fan_in=fan_in) if fits else Evidence(None, why, open=True, ask=True)
