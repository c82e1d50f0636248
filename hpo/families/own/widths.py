"""Looks at a module of one's own at more widths than two: sizes that are rounded do not lie on a line through two of them.

A feed-forward size of 8/3 of the width in steps of 32, or heads in whole numbers, is such a size. A tensor's growth is that
of its true shape, so the rules hold as they are; only the shapes must be those that the module has.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache, partial
from itertools import count, takewhile

from torch import nn

from hpo.families.own.modules import without_values
from hpo.families.own.pass_cost import pass_cost
from hpo.families.own.user_module import UserModule, example_inputs
from hpo.mup.growth import growth_of
from windtunnel.tasks.user import UserTask
from windtunnel.types.modules import MeasuredWidth, ModuleInfo
from windtunnel.types.results import TensorFacts
from windtunnel.types.tasks import TaskInfo
from windtunnel.types.tensors import TensorLaw

LOOKED = tuple(map(Fraction, (3, 4, 8, 16, 64)))
"""Factors on the base width at which sizes are looked at."""
KEPT = (
    *(Fraction(share, 4) for share in (1, 2, 3, 5, 6)),
    *map(Fraction, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)),
)
"""Factors on the base width at which a table of rounded sizes keeps them, for a server that has no module."""
Shapes = dict[str, tuple[int, ...]]


def delta_of(build: Callable[[int], nn.Module], base: int) -> int:
    """A second width that shows which sizes grow: twice the base, or more where a rounded size stays the same there."""
    known: dict[int, Shapes] = {}
    for factor in (1, 2, 3, 4, 8, 16, 64):
        try:
            known[factor * base] = _shapes(without_values(build, factor * base, values=factor <= 2))
        except Exception:  # noqa: BLE001
            # Which widths the module can have is not known; those of the table itself are built again, and told.
            if factor <= 2:
                return 2 * base
    widest = _growing(known[base], known[max(known)])
    return next(width for width in sorted(known) if width > base and _growing(known[base], known[width]) == widest)


def _growing(low: Shapes, high: Shapes) -> set[tuple[str, int]]:
    return {
        (name, index)
        for name, shape in low.items()
        for index, (small, large) in enumerate(zip(shape, high.get(name, shape), strict=False))
        if small != large
    }


def _shapes(module: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in module.named_parameters()}


def measure(task: UserTask, info: TaskInfo, table: ModuleInfo, width: int, *, values: bool = True) -> MeasuredWidth:
    """True sizes of the task's module at a width; its cost, too, where they are not on the table's lines.

    Args:
        task: the task.
        info: its facts.
        table: its table, of the depth that is looked at.
        width: the width.
        values: whether a module that cannot be built without values may be built with them.

    Raises:
        ValueError: the module cannot be built at that width, has other tensors there, or one that grows in a way that no
            rule has.
    """
    try:
        module = without_values(lambda size: task.builder()(size, table.depth), width, values=values)
    except Exception as error:
        raise ValueError(f"width {width}: build failed at it: {type(error).__name__}: {error}") from error
    every = dict(module.named_parameters())
    found = {name: value for name, value in every.items() if value.requires_grad}
    frozen = {name: value for name, value in every.items() if not value.requires_grad}
    names, still = [law.name for law in table.tensors], [law.name for law in table.frozen]
    if [*found, *frozen] != [*names, *still]:
        odd = sorted({*found, *frozen} ^ {*names, *still}) or sorted(frozen.keys() ^ set(still)) or names
        raise ValueError(f"width {width}: the module has other tensors there than at width {table.base}: {odd[0]}")
    shapes, constant = ([list(value.shape) for value in part.values()] for part in (found, frozen))
    for law, shape in zip(table.tensors, shapes, strict=True):
        _check_growth(law, shape)
    fans = [law.fan_in_at(shape) for law, shape in zip(table.tensors, shapes, strict=True)]
    sizes = MeasuredWidth(shapes=shapes, fan_in=fans, frozen=constant)
    if _on_lines(table, width, sizes):
        return sizes
    return sizes.model_copy(update=_cost(module, info))


def _cost(module: nn.Module, info: TaskInfo) -> dict[str, int]:
    """Cost of a pass as fields of a ``MeasuredWidth``; none where it takes values to find out."""
    device = next(module.parameters()).device
    try:
        saved, multiply_adds = pass_cost(UserModule(module, info), example_inputs(info, 1).to(device))
    except Exception:  # noqa: BLE001 - code of the user, which may need values
        # The power law through the table's two widths serves instead, as for every other module.
        return {}
    return {"saved": saved, "multiply_adds": multiply_adds}


def _check_growth(law: TensorLaw, shape: list[int]) -> None:
    base, target = (
        TensorFacts(name=law.name, shape=sizes, role=law.role, fan_in=law.fan_in_at(sizes) if law.fan_in_fits else None)
        for sizes in (law.shape, shape)
    )
    growth_of(base, target)


def _on_lines(table: ModuleInfo, width: int, sizes: MeasuredWidth) -> bool:
    try:
        lines = table.on_lines(width)
    except ValueError:
        return False
    return (lines.shapes, lines.frozen) == (sizes.shapes, sizes.frozen)


def with_rounded_sizes(task: UserTask, info: TaskInfo, table: ModuleInfo, more: Iterable[int] = ()) -> ModuleInfo:
    """The table with true sizes at many widths, and a warning, if some do not lie on its lines at multiples of the base.

    Where only those between are off the lines, as for heads in whole numbers, it has the distance of the others.

    Args:
        task: the task.
        info: its facts.
        table: its table.
        more: widths that the table is to have besides, if any size is off the lines.

    Raises:
        ValueError: the module cannot be built at one of ``more``.
    """
    known = _found(task, info, table, LOOKED)
    odd = next((width for width, sizes in known.items() if not _on_lines(table, width, sizes)), None)
    if odd is None:
        return table.model_copy(update={"step": _step(task, info, table)})
    known |= _found(task, info, table, KEPT)
    known |= {width: measure(task, info, table, width) for width in more}
    lines = table.model_copy(update={"measured": dict(sorted(known.items()))})
    names = [*(law.name for law in table.tensors), *(law.name for law in table.frozen)]
    shapes = [*known[odd].shapes, *known[odd].frozen]
    name, sizes = next(
        (name, shape) for name, shape, line in zip(names, shapes, _lines(table, odd), strict=True) if shape != line
    )
    warning = (
        f"Sizes are rounded: {name} has shape {sizes} at width {odd}, which is not in proportion to those at widths "
        f"{table.base} and {table.delta}. Each tensor's own growth is used, by its true shapes."
    )
    return lines.model_copy(update={"warnings": [*table.warnings, warning]})


def _step(task: UserTask, info: TaskInfo, table: ModuleInfo) -> int:
    """Distance of widths that keeps sizes on the lines: 1, or a power of two above it, as of whole heads, or the base."""
    rounded = False
    for step in takewhile(lambda step: step < table.base, (2**power for power in count())):
        try:
            sizes = measure(task, info, table, table.base + step, values=False)
        except ValueError:
            continue  # the module cannot have that width, and says so itself
        if _on_lines(table, table.base + step, sizes):
            return step if rounded else 1
        rounded = True
    return table.base if rounded else 1


def _lines(table: ModuleInfo, width: int) -> list[list[int] | None]:
    try:
        lines = table.on_lines(width)
    except ValueError:
        return [None for _ in (*table.tensors, *table.frozen)]
    return [*lines.shapes, *lines.frozen]


def _found(task: UserTask, info: TaskInfo, table: ModuleInfo, factors: Iterable[Fraction]) -> dict[int, MeasuredWidth]:
    """Width -> true sizes, at those factors on the base width that the module can be built at."""
    found: dict[int, MeasuredWidth] = {}
    for factor in factors:
        width = table.base * factor
        if width.denominator == 1:
            try:
                found[int(width)] = measure(task, info, table, int(width), values=factor <= 2)
            except ValueError:
                continue
    return found


def with_true_sizes(task: UserTask, info: TaskInfo, table: ModuleInfo) -> ModuleInfo:
    """The table with the true sizes of the module, which is in this process, at every width."""
    return table.measuring(lru_cache(maxsize=None)(partial(measure, task, info, table)))
