"""Roles of every parameter of any ``nn.Module``, from a factory called at two widths on the meta device."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import isclose

import torch
from torch import Tensor, nn

from hpo.families.own.loose import ADVICE, loose_readouts
from hpo.families.own.owners import Pair, evidence_of, owners, warnings_of, weights_of_layers
from hpo.families.own.plain_outputs import with_plain_outputs
from hpo.families.own.refusals import refuse_lazy
from hpo.families.own.tracing import UsesByName, uses_in_forward
from hpo.mup.roles import Evidence, RoleQuestion, TensorRole, tensor_roles
from windtunnel.types.tensors import FrozenLaw, Role

Factory = Callable[[int], nn.Module]
"""Width -> module."""


@dataclass(frozen=True)
class RoleTable:
    """Every tensor with its role, to be read by a person: ``print`` shows it."""

    base: int
    delta: int
    rows: list[TensorRole]
    """Parameters that are trained."""
    warnings: list[str]
    """Warnings about what shapes cannot show, and about where muP is known to break."""
    frozen: list[FrozenLaw] = field(default_factory=list)
    """Parameters with ``requires_grad=False``, which have no role: they keep the values that the module gives them."""

    @property
    def roles(self) -> dict[str, Role]:
        """Name -> role."""
        return {row.name: row.role for row in self.rows}

    def __str__(self) -> str:
        headings = ("tensor", f"width {self.base}", f"width {self.delta}", "m_in", "m_out", "role", "why")
        lines = [headings, *map(cells, self.rows), *map(frozen_cells, self.frozen)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(headings) - 1)]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True)) + "  " + line[-1]
            for line in lines
        ]
        return "\n".join([*table, *(f"! {warning}" for warning in self.warnings)])


def cells(row: TensorRole) -> tuple[str, ...]:
    """A row as text: name, shapes at both widths, m_in, m_out, role, why."""
    shapes = (str(list(row.base)), str(list(row.delta)))
    return (row.name, *shapes, f"{row.m_in:g}", f"{row.m_out:g}", row.role, row.why)


def frozen_cells(law: FrozenLaw) -> tuple[str, ...]:
    """A row of a frozen parameter as text, with the columns of ``cells``."""
    return (law.name, str(law.shape), str(law.grown), "", "", "frozen", "requires_grad is False: it keeps its values")


def roles(
    build: Factory,
    *,
    base: int = 64,
    delta: int = 128,
    overrides: Mapping[str, Role] | None = None,
    inputs: Tensor | None = None,
) -> RoleTable:
    """The role of every parameter of the modules that a factory makes.

    Args:
        build: makes the module of a width; called at both widths, where possible on the meta device, which allocates
            nothing.
        base: a width.
        delta: a larger width; it shows which dimensions grow with the width.
        overrides: name pattern (``*.embedding.weight``, as in ``fnmatch``) -> role; the first pattern that fits decides.
        inputs: a batch for ``forward``. With it both modules are made on the CPU and called once: how forward uses a
            parameter tells its role where shapes and layers do not.

    Raises:
        RoleQuestion: some roles cannot be told; it names each tensor and how to answer.
        ValueError: delta is not above base, the factory makes no module, the two modules do not differ in width alone, or a
            rounded size is the same at both widths and grows later.
    """
    pair = modules_at(build, base, delta)
    _check_wider(build, pair, delta)
    seen = None if inputs is None else (watched(build(base), inputs), watched(build(delta), inputs))
    try:
        return role_table(pair, base, delta, overrides, seen)
    except RoleQuestion as asked:
        if inputs is not None:
            raise
        hint = "Or give a batch of inputs, and what forward does with it is seen"
        raise RoleQuestion({name: f"{text}. {hint}" for name, text in asked.questions.items()}) from None


def watched(module: nn.Module, inputs: Tensor) -> UsesByName:
    """Uses of the parameters of a module in one forward pass."""
    return uses_in_forward(with_plain_outputs(module), inputs, weights=weights_of_layers(owners(module)))


def modules_at(build: Factory, base: int, delta: int) -> Pair:
    """The modules of two widths.

    Raises:
        InvalidData: a layer is lazy, so that its shapes are not known.
    """
    if not 1 <= base < delta:
        raise ValueError(f"base width {base} and delta width {delta}: allowed: 1 <= base < delta")
    pair = Pair(without_values(build, base), without_values(build, delta))
    for module in (pair.base, pair.delta):
        refuse_lazy(module)
    return pair


def role_table(
    pair: Pair,
    base: int,
    delta: int,
    overrides: Mapping[str, Role] | None = None,
    seen: tuple[UsesByName, UsesByName] | None = None,
) -> RoleTable:
    """Roles of the trained parameters of two modules that are built already.

    Args:
        pair: the modules.
        base: width of the first.
        delta: width of the second.
        overrides: as of ``roles``.
        seen: uses of the parameters in a forward pass at both widths; None: none was watched.

    Raises:
        ValueError: all parameters are frozen, the modules differ in what is frozen, or an override names a frozen one.
    """
    (low, still), (high, wide) = map(_parted, (pair.base, pair.delta))
    odd = sorted((still.keys() & high.keys()) | (wide.keys() & low.keys()))
    if odd:
        raise ValueError(f"{odd[0]!r} is frozen (requires_grad is False) at one of the widths {base} and {delta} only")
    if still and not low:
        raise ValueError(f"every parameter is frozen (requires_grad is False): {', '.join(still)}")
    for pattern in overrides or {}:
        if any(fnmatchcase(name, pattern) for name in still) and not any(fnmatchcase(name, pattern) for name in low):
            raise ValueError(f"role override {pattern!r} names a frozen tensor (requires_grad is False), which has no role")
    table = _table(pair, base, delta, overrides, (low, high), seen)
    laws = [
        FrozenLaw(name=name, shape=list(value.shape), grown=list(wide[name].shape))
        for name, value in still.items()
        if name in wide
    ]
    return replace(table, frozen=laws)


def every_role(pair: Pair, base: int, delta: int, overrides: Mapping[str, Role] | None = None) -> RoleTable:
    """Roles of all parameters, frozen ones as if they were trained; arguments as of ``role_table``."""
    low, high = dict(pair.base.named_parameters()), dict(pair.delta.named_parameters())
    return _table(pair, base, delta, overrides, (low, high), None)


def _parted(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters that are trained, frozen ones), by name."""
    held = dict(module.named_parameters())
    trained: dict[str, Tensor] = {name: value for name, value in held.items() if value.requires_grad}
    return trained, {name: value for name, value in held.items() if name not in trained}


def _table(
    pair: Pair,
    base: int,
    delta: int,
    overrides: Mapping[str, Role] | None,
    parameters: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    seen: tuple[UsesByName, UsesByName] | None,
) -> RoleTable:
    low, high = parameters
    held, wide = owners(pair.base), owners(pair.delta)
    uses = seen or ({}, {})
    known = {
        name: evidence_of(held[name], wide[name], (uses[0].get(name, ()), uses[1].get(name, ())))
        for name in low
        if name in high
    }
    rows = tensor_roles(
        {name: tuple(value.shape) for name, value in low.items()},
        {name: tuple(value.shape) for name, value in high.items()},
        overrides,
        known,
    )
    holders = {row.name: held[row.name] for row in rows}
    warnings = warnings_of(pair, holders, {row.name: row.role for row in rows})
    loose = loose_readouts(holders, {row.name: row.role for row in rows})
    if loose:
        warnings.append(
            f"Readouts outside of a layer ({', '.join(loose)}): windtunnel.torch cannot attach their multiplier; {ADVICE}."
        )
    return RoleTable(base, delta, rows, [*warnings, *_doubts(rows, known), *_out_of_proportion(rows, base, delta)])


def _doubts(rows: list[TensorRole], known: Mapping[str, Evidence]) -> list[str]:
    """Warnings about roles that were given against what the module shows."""
    return [
        f"{row.name} is given as {row.role}, and the module shows {found.role}: {found.why}. A wrong role misleads a plan."
        for row in rows
        if (found := known[row.name]).role not in (None, row.role)
    ]


def _out_of_proportion(rows: list[TensorRole], base: int, delta: int) -> list[str]:
    """A warning on tensors that grow by another factor than the width."""
    found = [
        row
        for row in rows
        if any(a != b and not isclose(b / a, delta / base) for a, b in zip(row.base, row.delta, strict=True))
    ]
    if not found:
        return []
    first, more = found[0], f" and {len(found) - 1} more" if len(found) > 1 else ""
    return [
        f"Sizes out of proportion to the width: {first.name} {list(first.base)} -> {list(first.delta)}{more}, while "
        f"the width goes from {base} to {delta}. Each tensor's own growth is used, by its true shapes at every width."
    ]


def _check_wider(build: Factory, pair: Pair, delta: int) -> None:
    """Raise ValueError where a size is the same at both widths, as a rounded one may be, and grows later."""
    width = 8 * delta
    try:
        wide = dict(without_values(build, width, values=False).named_parameters())
    except Exception:  # noqa: BLE001 - code of the user, which may not have this width
        return
    high = dict(pair.delta.named_parameters())
    for name, value in pair.base.named_parameters():
        shapes = [list(value.shape), *(list(of[name].shape) if name in of else [] for of in (high, wide))]
        if any(len({len(shape) for shape in shapes}) == 1 and a == b != c for a, b, c in zip(*shapes, strict=False)):
            raise ValueError(
                f"tensor {name!r} has shape {shapes[0]} at base and {shapes[1]} at delta, but {shapes[2]} at width "
                f"{width}: its size is rounded, and the two do not show that it grows. Take a wider delta, such as {width}"
            )


def without_values(build: Factory, width: int, *, values: bool = True) -> nn.Module:
    """The module of a width, on the meta device; on the CPU if its constructor needs numbers and ``values`` allows it."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                module = build(width)
        except (RuntimeError, NotImplementedError):
            if not values:
                raise
            # A constructor that reads values, as of a linspace of drop rates, cannot run on the meta device.
            module = build(width)
    if not isinstance(module, nn.Module):
        raise TypeError(f"the factory gave {type(module).__name__} at width {width}; it must give a torch.nn.Module")
    return module
