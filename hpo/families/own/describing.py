"""The table of a module of one's own: its tensors as laws of width and depth, how they start, what a pass costs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from hpo.errors import InvalidData
from hpo.families.own.modules import RoleTable, modules_at, role_table, watched, without_values
from hpo.families.own.owners import Pair, is_matrix, owners
from hpo.families.own.pass_cost import pass_cost
from hpo.families.own.refusals import refuse_chance, refuse_untrainable
from hpo.families.own.starts import started
from hpo.families.own.tracing import UsesByName
from hpo.families.own.user_module import UserModule, example_inputs, hold_padding, made
from hpo.families.own.watching import PlainLookups, forwarded, refuse_unregistered
from hpo.families.own.widths import delta_of, measure, with_rounded_sizes
from hpo.mup.roles import RoleQuestion, TensorRole
from windtunnel.tasks.user import UserTask
from windtunnel.types import TaskInfo
from windtunnel.types.modules import ModuleInfo, PassCost, deepened, ends_of
from windtunnel.types.tensors import TensorLaw


def describe(task: UserTask) -> ModuleInfo:
    """Build the task's module at its width, at twice that, and one block deeper, and write down what follows.

    Raises:
        RoleQuestion: a role or an initial deviation cannot be told; it says how to answer.
        InvalidData: the module cannot be made or trained.
        ValueError: the modules do not differ in width alone, or an override fits nothing.
    """
    return described(task)[1]


def described(task: UserTask, delta: int | None = None, widths: Sequence[int] = ()) -> tuple[RoleTable, ModuleInfo]:
    """The roles for a person to check, and the table.

    Args:
        task: the task.
        delta: the second width; by default twice the task's, or more where only that shows every size that grows.
        widths: widths at which a table of rounded sizes is to have them besides those that it always has.
    """
    base, depth = task.width, task.depth
    _refuse(task)
    if delta is None:
        delta = delta_of(lambda width: task.builder()(width, depth), base)
    pair = modules_at(lambda width: task.builder()(width, depth), base, delta)
    seen = _watched(task, base, depth), _watched(task, delta, depth)
    table = role_table(pair, base, delta, task.roles, seen)
    laws = _laws(task, pair, table)
    uncosted = ModuleInfo(
        base=base,
        delta=delta,
        depth=depth,
        tensors=laws,
        frozen=table.frozen,
        cost=PassCost(saved=(1, 1), multiply_adds=(1, 1)),
        warnings=table.warnings,
    )
    info = task.info_with(uncosted)
    module = UserModule(made(task, base, depth), info)
    tensors = _started(module, info, laws)
    _ask_for_deviations(tensors, table)
    table = replace(table, rows=[_told(row, law) for row, law in zip(table.rows, tensors, strict=True)])
    uncosted = uncosted.model_copy(update={"tensors": tensors, "warnings": [*table.warnings, *_unread(tensors)]})
    info = task.info_with(uncosted)
    low, high = (_cost(UserModule(made(task, width, depth), info).float(), info) for width in (base, delta))
    cost = PassCost(saved=(low[0], high[0]), multiply_adds=(low[1], high[1]))
    found = uncosted.model_copy(update={"cost": cost, "stacks": _stacks(task, uncosted)})
    found = with_rounded_sizes(task, info, found, widths)
    return replace(table, warnings=found.warnings), found


def _cost(module: UserModule, info: TaskInfo) -> tuple[int, int]:
    """Cost of a pass of one example in float32, as of ``pass_cost``; a refusal where the module fails in it."""
    inputs = example_inputs(info, 1)
    forwarded(module, inputs, info.name)
    return pass_cost(module, inputs)


def _watched(task: UserTask, width: int, depth: int) -> UsesByName:
    """Uses of the parameters in a forward pass of two examples.

    Raises:
        InvalidData: the module cannot be made, cannot be trained, or cannot be called.
    """
    module = made(task, width, depth)
    inputs = _inputs(module, task, 2)
    try:
        return watched(module.train(), inputs)
    except Exception as error:
        raise InvalidData(
            f"forward of the module of task {task.name!r} failed on inputs {list(inputs.shape)} of {inputs.dtype} at width "
            f"{width}: {type(error).__name__}: {error}",
            "it is called as module(inputs) with inputs [batch, *input_shape]",
        ) from error


def _inputs(module: nn.Module, task: UserTask, count: int) -> Tensor:
    """Inputs of so many examples; numbers have the dtype of the module's trained parameters."""
    inputs = example_inputs(task, count)
    if not inputs.is_floating_point():
        return inputs
    return inputs.to(next(value.dtype for value in module.parameters() if value.requires_grad))


def _refuse(task: UserTask) -> None:
    """Raise InvalidData where the module cannot be trained, at the task's width and depth."""
    module = made(task, task.width, task.depth)
    refuse_chance(module, made(task, task.width, task.depth), task.name)
    refuse_untrainable(module, task.name)
    inputs = _inputs(module, task, 1)
    hold_padding(module)
    with PlainLookups(module, task.name):
        logits = forwarded(module, inputs, task.name)
    refuse_unregistered(module, logits, task.name)


def _started(module: UserModule, info: TaskInfo, laws: Sequence[TensorLaw]) -> list[TensorLaw]:
    """The laws with how the tensors start, as of ``started``; a refusal where the module has no gradient in float64."""
    inputs = example_inputs(info, 1)
    forwarded(module.double(), inputs.double() if inputs.is_floating_point() else inputs, info.name)
    try:
        return started(module, info, laws)
    except InvalidData:
        raise
    except Exception as error:
        raise InvalidData(
            f"the module of task {info.name!r} has no gradient: {type(error).__name__}: {error}",
            "nothing in forward may be detached, and no part of it run by torch.utils.checkpoint",
        ) from error


def _laws(task: UserTask, pair: Pair, table: RoleTable) -> list[TensorLaw]:
    held, low = owners(pair.base), dict(pair.base.named_parameters())
    constants = _constants(task)
    unused = [pattern for pattern in task.init_std if not any(fnmatchcase(name, pattern) for name in low)]
    if unused:
        raise ValueError(f"init_std {unused[0]!r} fits no tensor; the tensors are: {', '.join(low)}")
    laws: list[TensorLaw] = []
    for row in table.rows:
        given = next((std for pattern, std in task.init_std.items() if fnmatchcase(row.name, pattern)), None)
        constant = constants.get(row.name) if given is None else None
        matrix = row.role == "scalar" and is_matrix(held[row.name], row)
        laws.append(
            TensorLaw(
                name=row.name,
                role=row.role,
                shape=list(row.base),
                grown=list(row.delta),
                fan_in=row.fan_in or (1, 1),
                init_std=given,
                init_value=constant,
                why=row.why,
                tied=len(held[row.name]) > 1,
                padding=_padding(held[row.name][0][0]),
                matrix=matrix or None,
            )
        )
    return [_with_dimensions(law, row) for law, row in zip(laws, table.rows, strict=True)]


def _with_dimensions(law: TensorLaw, row: TensorRole) -> TensorLaw:
    """The law with the dimensions that are summed over, if they are not those that its shapes and fan-in suggest."""
    if row.over is None:
        return law
    told = law.model_copy(update={"over": list(row.over)})
    return law if sorted(told.summed) == sorted(law.summed) else told


def _ask_for_deviations(laws: list[TensorLaw], table: RoleTable) -> None:
    """Raise RoleQuestion where a tensor starts at the deviation of its fan-in, and the fan-in cannot be told."""
    questions = {
        law.name: f"tensor {law.name!r} of shape {law.shape} starts random, and how many numbers an output of it sums "
        f"over cannot be told. Give the standard deviation of its start at width {table.base}: "
        f"init_std={{'{law.name}': 0.05}}, for example"
        for law, row in zip(laws, table.rows, strict=True)
        if law.at_fan_in and row.fan_in is None
    }
    if questions:
        raise RoleQuestion(questions)


def _told(row: TensorRole, law: TensorLaw) -> TensorRole:
    """The row of the table for a person, which also says what makes the outputs."""
    return replace(row, why=f"{row.why}; makes the outputs") if law.makes_outputs else row


def _unread(laws: list[TensorLaw]) -> list[str]:
    """A warning where no tensor makes the outputs alone."""
    inside = [law.name for law in laws if law.role == "output" or law.matrix]
    if not inside or any(law.makes_outputs for law in laws):
        return []
    return [
        "No matrix makes the outputs by itself: all of them start random, and output_multiplier acts on none. Let the last "
        "layer be linear, with nothing but a fixed function of single outputs behind it."
    ]


def _padding(layer: nn.Module) -> int | None:
    """Row of a table that is never trained; None if there is none."""
    return layer.padding_idx if isinstance(layer, nn.Embedding) else None


def _constants(task: UserTask) -> dict[str, float]:
    """Name -> the one number that all entries of a tensor start at, whatever the seed.

    Raises:
        InvalidData: a tensor starts at fixed numbers that differ, which a rule of initialisation would overwrite.
    """
    first, second = (_values(task, seed) for seed in (1, 2))
    found: dict[str, float] = {}
    for name, value in first.items():
        if not torch.equal(value, second[name]):
            continue
        if not torch.all(value == value.flatten()[0]):
            if not any(fnmatchcase(name, pattern) for pattern in task.init_std):
                raise InvalidData(
                    f"parameter {name!r} of task {task.name!r} starts at fixed numbers that differ from each other; a plan "
                    "can give a tensor one number or a normal distribution",
                    f"make it a buffer if it is not to be trained, or give init_std={{{name!r}: ...}} to start it random",
                )
            continue
        found[name] = float(value.flatten()[0])
    return found


def _values(task: UserTask, seed: int) -> Mapping[str, Tensor]:
    module = made(task, task.width, task.depth, seed)
    return {name: value.detach() for name, value in module.named_parameters() if value.requires_grad}


def _stacks(task: UserTask, module: ModuleInfo) -> dict[str, int]:
    """Lists of layers that follow the depth; none where a deeper module is not the same with its last layers repeated."""
    try:
        deeper: nn.Module = made(task, task.width, task.depth + 1)
    except InvalidData:
        return {}
    ends, grown = module.ends, ends_of(name for name, _ in deeper.named_parameters())
    stacks = {name: grown[name] - end for name, end in ends.items() if grown.get(name, end) > end}
    trained = deepened(module.tensors_at(task.width, task.depth), stacks, ends, 1)
    frozen = deepened(module.frozen_at(task.width, task.depth), stacks, ends, 1)
    for wants, facts in ((True, trained), (False, frozen)):
        built = [(name, tuple(value.shape)) for name, value in deeper.named_parameters() if value.requires_grad == wants]
        if built != [(fact.name, tuple(fact.shape)) for fact in facts]:
            return {}
    return stacks


def check_table(task: UserTask, info: TaskInfo) -> None:
    """Raise InvalidData where the table that a server goes by is not that of the module as it is now."""
    now = describe(task)
    table = info.module
    assert table is not None
    now_at, then = ((found.tensors, found.frozen, found.stacks, found.depth) for found in (now, table))
    if now_at != then or _moved(task, info, now, table):
        old, new = (
            {law.name: law for law in found.tensors} | {law.name: law for law in found.frozen} for found in (table, now)
        )
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        raise InvalidData(
            f"the table of task {task.name!r} is not that of its module any more: {', '.join(changed[:3]) or 'its depth'}",
            "write it anew: windtunnel roles PACKAGE.MODULE:TASK --save FILE, and install the package again",
        )


def _moved(task: UserTask, info: TaskInfo, now: ModuleInfo, table: ModuleInfo) -> bool:
    """Whether the table lacks rounded sizes that the module has, or has others."""
    if bool(now.measured) != bool(table.measured):
        return True
    return any(measure(task, info, now, width) != sizes for width, sizes in table.measured.items())


def differences(
    task: UserTask, width: int, depth: int, shapes: Mapping[str, tuple[int, ...]], frozen: Collection[str] = ()
) -> list[str]:
    """Differences between the tensors of the task's module of that size and those expected; empty: there are none.

    Args:
        task: brings the module.
        width: its width.
        depth: its depth.
        shapes: name -> expected shape, of trained and frozen parameters.
        frozen: names of those that are expected to be frozen.
    """
    module = without_values(lambda size: task.builder()(size, depth), width)
    built = {name: tuple(value.shape) for name, value in module.named_parameters()}
    still = {name for name, value in module.named_parameters() if not value.requires_grad}
    changed = sorted(name for name in still ^ set(frozen) if name in built and name in shapes)
    return [f"{name} is {'frozen' if name in still else 'trained'}, and was not in the proxy" for name in changed] + [
        f"{name} is {list(built[name]) if name in built else 'absent'}, expected "
        f"{list(shapes[name]) if name in shapes else 'none'}"
        for name in {**built, **shapes}
        if built.get(name) != shapes.get(name)
    ]
