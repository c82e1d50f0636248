"""Infers the muP role of each parameter tensor from the dimensions that grow with the width. Imports no torch.

Shapes decide most roles. Facts about the layer that owns a tensor, and about what a forward pass does with it, are given
as ``Evidence``, which ``hpo.families.own.modules`` collects from a module. If neither decides, the result is a question,
never a guess.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isclose, prod

from windtunnel.types.tensors import ROLES, Role

Shape = Sequence[int]
EMBEDDINGS = ("token_embedding.weight", "position_embedding.weight")
"""Names of embedding tables in the families: stored as [entries, width]; their rows are looked up."""


class RoleQuestion(ValueError):
    """The roles of some tensors cannot be inferred; each question names its tensor and the possible answers.

    Args:
        questions: tensor -> question.
    """

    def __init__(self, questions: Mapping[str, str]) -> None:
        self.questions = dict(questions)
        super().__init__("\n".join(self.questions.values()))


@dataclass(frozen=True)
class Evidence:
    """Facts about a tensor other than its shapes."""

    role: Role | None
    """Role of the tensor; None: its shapes decide."""
    why: str
    open: bool = False
    """True if the order of the dimensions is unknown: [fan_out, fan_in] is a convention of layers, not a rule."""
    ask: bool = False
    """True if shapes must not decide either: what is known of the tensor fits no single role."""
    fan_in: tuple[int, int] | None = None
    """Numbers that one output sums over, at the base and at the delta width; None: not known."""
    summed: bool | None = None
    """Whether outputs are sums over it, as over a matrix; None: not known."""
    over: tuple[int, ...] | None = None
    """Dimensions that one output sums over; None: not known."""


@dataclass(frozen=True)
class TensorRole:
    """The role of one tensor, with the reason."""

    name: str
    base: tuple[int, ...]
    """Shape at the base width."""
    delta: tuple[int, ...]
    """Shape at the delta width."""
    role: Role
    m_in: float
    """Growth of the fan-in from base to delta."""
    m_out: float
    """Growth of the fan-out from base to delta."""
    why: str
    fan_in: tuple[int, int] | None = None
    """Numbers that one output sums over, at the base and at the delta width; None: not known."""
    summed: bool | None = None
    """Whether outputs are sums over it, as over a matrix; None: not known."""
    over: tuple[int, ...] | None = None
    """Dimensions that one output sums over; None: not known."""


def tensor_roles(
    base: Mapping[str, Shape],
    delta: Mapping[str, Shape],
    overrides: Mapping[str, Role] | None = None,
    evidence: Mapping[str, Evidence] | None = None,
) -> list[TensorRole]:
    """Role of each tensor of any model, in the order of ``base``.

    No dimension grows: scalar. One grows: vector if the rank is 1, or if it is above 2 and all other dimensions are 1; else
    input if the first grows (fan-out of a weight stored as [fan_out, fan_in, ...]), output if the second grows. Both grow:
    hidden.

    Shapes alone tell an embedding table stored as [tokens, width] for a readout: name it input in ``overrides``.

    Args:
        base: name -> shape at the base width.
        delta: name -> shape at another, larger width and the same depth.
        overrides: name pattern (``*.embedding.weight``, as in ``fnmatch``) -> role; the first match decides.
        evidence: name -> facts other than the shapes.

    Raises:
        RoleQuestion: some roles cannot be inferred.
        ValueError: the two models differ in names or ranks, a dimension shrinks, nothing grows at all, or an override
            matches no tensor, is not a role, or contradicts the shapes.
    """
    _same_names(base, delta)
    growing = {name: _growing_dimensions(name, base[name], delta[name]) for name in base}
    if not any(growing.values()):
        raise ValueError("no tensor grows from base to delta: build the two models at two different widths")
    given = _checked(overrides or {}, base)
    known = evidence or {}
    found: list[TensorRole] = []
    questions: dict[str, str] = {}
    for name, dimensions in growing.items():
        told = known.get(name)
        pattern = next((pattern for pattern in given if fnmatchcase(name, pattern)), None)
        if pattern is not None:
            role, why = given[pattern], f"given: {pattern}={given[pattern]}"
        elif told is not None and told.role is not None:
            role, why = told.role, told.why
        else:
            asked = dimensions and told is not None and told.ask
            answer = None if asked else _told_by_shape(base[name], dimensions, is_open=told is not None and told.open)
            if answer is None:
                note = told.why if asked and told is not None else ""
                questions[name] = _question(name, base[name], delta[name], dimensions, note)
                continue
            role, why = answer
        fans = None if told is None else told.fan_in
        if not _fits(role, fans):
            fans = None
        _check_role(name, role, dimensions, summed=fans is not None)
        m_in, m_out = _growth(name, role, base[name], delta[name], dimensions, fans)
        seen = told or Evidence(None, "")
        shapes = tuple(base[name]), tuple(delta[name])
        over = None if fans is None else seen.over
        found.append(TensorRole(name, *shapes, role, m_in, m_out, why, fans, seen.summed, over))
    if questions:
        raise RoleQuestion(questions)
    return found


def _checked(overrides: Mapping[str, Role], names: Mapping[str, Shape]) -> dict[str, Role]:
    for pattern, role in overrides.items():
        if role not in ROLES:
            raise ValueError(f"role override {pattern}={role}: no role {role!r}; allowed: {', '.join(ROLES)}")
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"role override {pattern!r} fits no tensor; the tensors are: {', '.join(names)}")
    return dict(overrides)


def _same_names(base: Mapping[str, Shape], delta: Mapping[str, Shape]) -> None:
    odd = sorted(set(base) ^ set(delta))
    if odd:
        raise ValueError(f"base and delta must differ in width only, but only one of them has: {', '.join(odd)}")


def _shapes(name: str, base: Shape, delta: Shape) -> str:
    return f"tensor {name!r} has shape {list(base)} at base and {list(delta)} at delta"


def _growing_dimensions(name: str, base: Shape, delta: Shape) -> tuple[int, ...]:
    if len(base) != len(delta):
        raise ValueError(f"{_shapes(name, base, delta)}: base and delta must differ in width only")
    if any(large < small for small, large in zip(base, delta, strict=True)):
        raise ValueError(f"{_shapes(name, base, delta)}: delta must be the wider model")
    return tuple(index for index, (small, large) in enumerate(zip(base, delta, strict=True)) if large > small)


def is_one_a_unit(shape: Shape, growing: tuple[int, ...]) -> bool:
    """True if a tensor has one growing dimension and no other entries: [width], or [1, 1, width] with more than two."""
    rank = len(shape)
    return len(growing) == 1 and (rank == 1 or (rank > 2 and prod(shape) == shape[growing[0]]))


def _fits(role: Role, fans: tuple[int, int] | None) -> bool:
    """True if a fan-in that is known grows as it must in that role; a given role may contradict it."""
    match role:
        case "hidden" | "output":
            return fans is not None and fans[1] > fans[0]
        case "input" | "vector":
            return fans is not None and fans[1] == fans[0]
        case "scalar":
            return fans is not None


def _told_by_shape(shape: Shape, growing: tuple[int, ...], *, is_open: bool) -> tuple[Role, str] | None:
    """(role, reason) of a tensor; None if its shapes leave the role open."""
    rank = len(shape)
    match growing:
        case ():
            return "scalar", "does not grow with the width"
        case (_,) if is_one_a_unit(shape, growing):
            return "vector", "one number a unit"
        case (0,) if not is_open:
            return "input", "its fan-out grows, its fan-in does not"
        case (1,) if not is_open:
            return "output", "its fan-in grows, its fan-out does not"
        case (0, 1) if not is_open or rank == 2:
            return "hidden", "both fans grow"
    return None


def _question(name: str, base: Shape, delta: Shape, growing: tuple[int, ...], note: str) -> str:
    start = f"{_shapes(name, base, delta)}{f' ({note})' if note else ''}. What is it?"
    many = "dimensions" if len(growing) > 1 else "dimension"
    grows = f"Its {many} {' and '.join(map(str, growing))} {'grow' if len(growing) > 1 else 'grows'}"
    match len(growing):
        case 1:
            return (
                f"{start} {grows}; whether that is what it puts out or what it sums over, the shape does not say. "
                f"Answer '{name}=input' (rows looked up or added, or a matrix from finitely many features to the "
                f"width), '{name}=output' (a matrix from the width to finitely many numbers) or '{name}=vector' (one "
                "number or a few for each unit, as a gain or a bias)"
            )
        case 2:
            return (
                f"{start} {grows}, which are not the two fans of a layer's weight. Answer '{name}=hidden' if it maps "
                "the width to the width, or store it as [fan_out, fan_in]"
            )
        case _:
            return (
                f"{start} {grows}: no rule of muP has more than two growing dimensions. Split it, or fix one of them "
                "(as d_head is, while heads are added)"
            )


def _check_role(name: str, role: Role, growing: tuple[int, ...], *, summed: bool) -> None:
    allowed: dict[int, tuple[Role, ...]] = {0: ("scalar",), 1: ("input", "output", "vector"), 2: ("hidden",)}
    if summed and role == "output" and len(growing) == 2:
        return  # a sum over both of them, as of a bilinear form
    if len(growing) > 2:
        raise ValueError(
            f"tensor {name!r} cannot have role {role!r}: {len(growing)} of its dimensions grow with the width, and no "
            "role has more than two"
        )
    if role not in allowed[len(growing)]:
        raise ValueError(
            f"tensor {name!r} cannot have role {role!r}: {len(growing)} of its dimensions grow with the width; "
            f"allowed: {', '.join(allowed[len(growing)])}"
        )


def _growth(
    name: str, role: Role, base: Shape, delta: Shape, growing: tuple[int, ...], fans: tuple[int, int] | None
) -> tuple[float, float]:
    """(m_in, m_out): growth of a tensor's fan-in and fan-out from base to delta."""
    if fans is not None:
        m_in = fans[1] / fans[0]
        return m_in, prod(delta) / prod(base) / m_in
    ratios = [delta[index] / base[index] for index in growing]
    match role:
        case "hidden":
            if growing != (0, 1) and not isclose(*ratios):
                raise RoleQuestion(
                    {
                        name: f"{_shapes(name, base, delta)}: its growing dimensions {growing[0]} and {growing[1]} grow by "
                        f"{ratios[0]:g} and {ratios[1]:g}, and which of them is the fan-in cannot be told. "
                        "Store it as [fan_out, fan_in]"
                    }
                )
            return ratios[1], ratios[0]
        case "output":
            return ratios[0], 1.0
        case "input" | "vector":
            return 1.0, ratios[0]
        case "scalar":
            return 1.0, 1.0
