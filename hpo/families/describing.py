"""The table of a module of one's own: its tensors as laws of width and depth, how they start, what a pass costs."""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from hpo.errors import InvalidData
from hpo.families.modules import RoleTable, modules_at, role_table, without_values
from hpo.families.owners import Pair, fan_in, owners
from hpo.families.refusals import refuse_untrainable
from hpo.families.user_module import UserModule, example_inputs, hold_padding, made
from hpo.families.watching import PlainLookups, forwarded, refuse_unregistered
from hpo.mup.roles import RoleQuestion
from windtunnel.tasks.user import UserTask
from windtunnel.types import TaskInfo
from windtunnel.types.modules import ModuleInfo, PassCost, TensorLaw, deepened, ends_of


def describe(task: UserTask) -> ModuleInfo:
    """Build the task's module at its width, at twice that, and one block deeper, and write down what follows.

    Raises:
        RoleQuestion: a role or an initial deviation cannot be told; it says how to answer.
        InvalidData: the module cannot be made or trained.
        ValueError: the modules do not differ in width alone, or an override fits nothing.
    """
    return described(task)[1]


def described(task: UserTask, delta: int | None = None) -> tuple[RoleTable, ModuleInfo]:
    """The roles for a person to check, and the table; ``delta`` is the second width, twice the task's by default."""
    base, depth = task.width, task.depth
    delta = 2 * base if delta is None else delta
    module = made(task, base, depth)
    refuse_untrainable(module, task.name)
    inputs = example_inputs(task, 1)
    if inputs.is_floating_point():
        inputs = inputs.to(next(value.dtype for value in module.parameters() if value.requires_grad))
    hold_padding(module)
    with PlainLookups(module, task.name):
        logits = forwarded(module, inputs, task.name)
    refuse_unregistered(module, logits, task.name)
    pair = modules_at(lambda width: task.builder()(width, depth), base, delta)
    table = role_table(pair, base, delta, task.roles)
    tensors = _laws(task, pair, table)
    uncosted = ModuleInfo(
        base=base,
        delta=delta,
        depth=depth,
        tensors=tensors,
        frozen=table.frozen,
        cost=PassCost(saved=(1, 1), multiply_adds=(1, 1)),
        warnings=table.warnings,
    )
    info = task.info_with(uncosted)
    low, high = (_cost(UserModule(made(task, width, depth), info).float(), info) for width in (base, delta))
    cost = PassCost(saved=(low[0], high[0]), multiply_adds=(low[1], high[1]))
    return table, uncosted.model_copy(update={"cost": cost, "stacks": _stacks(task, uncosted)})


def _laws(task: UserTask, pair: Pair, table: RoleTable) -> list[TensorLaw]:
    held, wide = owners(pair.base), owners(pair.delta)
    low, high = dict(pair.base.named_parameters()), dict(pair.delta.named_parameters())
    constants = _constants(task)
    unused = [pattern for pattern in task.init_std if not any(fnmatchcase(name, pattern) for name in low)]
    if unused:
        raise ValueError(f"init_std {unused[0]!r} fits no tensor; the tensors are: {', '.join(low)}")
    questions: dict[str, str] = {}
    laws: list[TensorLaw] = []
    for row in table.rows:
        given = next((std for pattern, std in task.init_std.items() if fnmatchcase(row.name, pattern)), None)
        constant = constants.get(row.name) if given is None else None
        fans = fan_in(held[row.name], low[row.name], row.role), fan_in(wide[row.name], high[row.name], row.role)
        random = constant is None and given is None and row.role in ("input", "hidden")
        if random and None in fans:
            questions[row.name] = (
                f"tensor {row.name!r} of shape {list(row.base)} starts random, and how many numbers an output of it sums "
                f"over cannot be told. Give the standard deviation of its start at width {table.base}: "
                f"init_std={{'{row.name}': 0.05}}, for example"
            )
        laws.append(
            TensorLaw(
                name=row.name,
                role=row.role,
                shape=list(row.base),
                grown=list(row.delta),
                fan_in=(fans[0] or 1, fans[1] or 1),
                init_std=given,
                init_value=constant,
                why=row.why,
                tied=len(held[row.name]) > 1,
                padding=_padding(held[row.name][0][0]),
            )
        )
    if questions:
        raise RoleQuestion(questions)
    return laws


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


def _cost(module: UserModule, info: TaskInfo) -> tuple[int, int]:
    """(floats kept for the backward pass, multiply-adds) of one example."""
    weights = {value.untyped_storage().data_ptr() for value in module.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes() // 4
        # An operation that saves its own output would hold itself through it, and nothing would free the pass.
        return value.detach()

    def give(value: Any) -> Any:
        return value

    inputs = example_inputs(info, 1)
    held: list[Tensor] = []
    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, give):
        held.append(forwarded(module, inputs, info.name))
    return max(1, sum(kept.values())), max(1, int(counter.get_total_flops()) // 2)


def check_table(task: UserTask, info: TaskInfo) -> None:
    """Raise InvalidData where the table that a server goes by is not that of the module as it is now."""
    now = describe(task)
    table = info.module
    assert table is not None
    if (now.tensors, now.frozen, now.stacks, now.depth) != (table.tensors, table.frozen, table.stacks, table.depth):
        old, new = (
            {law.name: law for law in found.tensors} | {law.name: law for law in found.frozen} for found in (table, now)
        )
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        raise InvalidData(
            f"the table of task {task.name!r} is not that of its module any more: {', '.join(changed[:3]) or 'its depth'}",
            "write it anew: windtunnel roles PACKAGE.MODULE:TASK --save FILE, and install the package again",
        )


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
