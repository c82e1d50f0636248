"""What each parameter tensor is under muP, told by which of its dimensions grow with the width. Imports no torch."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from windtunnel.types.results import Role

Shape = Sequence[int]


def infer_roles(
    base: Mapping[str, Shape], delta: Mapping[str, Shape], overrides: Mapping[str, Role] | None = None
) -> dict[str, Role]:
    """Role of each tensor of any model, from its shapes at two widths.

    No dimension grows: scalar. One grows: vector where the tensor has rank 1; else input where the first grows
    (fan-out of a weight stored as [fan_out, fan_in, ...]) and output where the second does. Both grow: hidden.
    An embedding table stored as [tokens, width] has the shapes of a readout: name it input in ``overrides``.

    Args:
        base: name -> shape at the base width.
        delta: name -> shape at another, larger width and the same depth.
        overrides: name pattern (``*.embedding.weight``, as in ``fnmatch``) -> role; the first pattern that fits decides.

    Raises:
        ValueError: the two models differ in names or ranks, a dimension shrinks, nothing grows at all, a dimension
            beyond the first two grows, or an override fits no tensor or contradicts the shapes.
    """
    _same_names(base, delta)
    growing = {name: _growing_dimensions(name, base[name], delta[name]) for name in base}
    if not any(growing.values()):
        raise ValueError("no tensor grows from base to delta: build the two models at two different widths")
    given = dict(overrides or {})
    for pattern in given:
        if not any(fnmatchcase(name, pattern) for name in base):
            raise ValueError(f"role override {pattern!r} fits no tensor; the tensors are: {', '.join(base)}")
    roles: dict[str, Role] = {}
    for name, dimensions in growing.items():
        inferred = _role_of(len(base[name]), dimensions)
        roles[name] = next((role for pattern, role in given.items() if fnmatchcase(name, pattern)), inferred)
        _check_override(name, roles[name], dimensions)
    return roles


def _same_names(base: Mapping[str, Shape], delta: Mapping[str, Shape]) -> None:
    odd = sorted(set(base) ^ set(delta))
    if odd:
        raise ValueError(f"base and delta must differ in width only, but only one of them has: {', '.join(odd)}")


def _growing_dimensions(name: str, base: Shape, delta: Shape) -> tuple[int, ...]:
    shapes = f"tensor {name!r} has shape {list(base)} at base and {list(delta)} at delta"
    if len(base) != len(delta):
        raise ValueError(f"{shapes}: base and delta must differ in width only")
    if any(large < small for small, large in zip(base, delta, strict=True)):
        raise ValueError(f"{shapes}: delta must be the wider model")
    dimensions = tuple(index for index, (small, large) in enumerate(zip(base, delta, strict=True)) if large > small)
    if any(index > 1 for index in dimensions):
        raise ValueError(f"{shapes}: only fan-out (dimension 0) and fan-in (dimension 1) may grow with the width")
    return dimensions


def _role_of(rank: int, growing: tuple[int, ...]) -> Role:
    match growing:
        case ():
            return "scalar"
        case (0,):
            return "vector" if rank == 1 else "input"
        case (1,):
            return "output"
        case _:
            return "hidden"


def _check_override(name: str, role: Role, growing: tuple[int, ...]) -> None:
    allowed: dict[int, tuple[Role, ...]] = {0: ("scalar",), 1: ("input", "output", "vector"), 2: ("hidden",)}
    if role not in allowed[len(growing)]:
        raise ValueError(
            f"tensor {name!r} cannot have role {role!r}: {len(growing)} of its dimensions grow with the width; "
            f"allowed: {', '.join(allowed[len(growing)])}"
        )
