"""``windtunnel.carry``: the plan of a large model from values of one's own, without tuning anything. Needs torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from windtunnel.building import NUMBERS, settings_of_torch, with_depth
from windtunnel.client._errors import InvalidRequest
from windtunnel.client._local import need_to_train
from windtunnel.handing import one_batch
from windtunnel.local_plan import LocalPlan
from windtunnel.tasks.user import UserTask, UserTaskInfo
from windtunnel.types import CoordinateCheck, JobSpec, TransferPlan
from windtunnel.types.carry import CarryRequest
from windtunnel.types.spec import InnerSpec
from windtunnel.types.tensors import Role

if TYPE_CHECKING:
    from hpo.tasks import TaskData


def carry(
    values: Mapping[str, float],
    *,
    width: int,
    model: Callable[..., Any] | Mapping[str, Any] | None = None,
    base_width: int | None = None,
    base_depth: int | None = None,
    depth: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    examples: int | None = None,
    task: str | None = None,
    data: Any = None,
    inputs: Any = None,
    roles: Mapping[str, Role] | None = None,
    init_std: Mapping[str, float] | None = None,
    threads: int = 1,
    force: bool = False,
    **fields: Any,
) -> LocalPlan:
    """The config of a large model, from values that a sweep of one's own found for a small one. Nothing is tuned.

    ```python
    plan = windtunnel.carry(
        {"learning_rate": 3e-3, "weight_decay": 0.1, "beta2": 0.95},
        model=lambda width: MyNet(width), base_width=256, width=4096,
        inner={"steps": 5000, "batch_size": 64}, steps=40_000,
    )
    ```

    The module's tensors get their roles, a coordinate check over widths shows whether the values carry, and the plan has
    the value of every tensor. At ``base_width`` a plan is the given values and the module's own initial deviations.

    Args:
        values: label (``learning_rate``, ``learning_rate.hidden``, ``beta2``) -> value at the base width.
        width: width of the large model.
        model: (width) or (width, depth) -> torch.nn.Module; or the field ``model`` of a job, for a built-in family.
        base_width: width for which the values were found. By default 64, or that of the family.
        base_depth: depth for which they were found, where the module takes one; by default its own default, else 2.
        depth: depth of the large model; that of the small one by default.
        steps: optimizer updates of its run; those of the small one by default (``inner={"steps": ...}``).
        batch_size: examples of an update; likewise.
        examples: examples of its training set; likewise.
        task: name of a task, for a built-in family or an installed module; it sets inputs and outputs.
        data: (inputs, labels) for the coordinate check of a module; by default random ones.
        inputs: a batch of inputs, where the module does not tell what it takes and there are no data.
        roles: name pattern of tensors -> role, where shapes and types of layers do not tell it.
        init_std: name pattern of tensors -> standard deviation of their initial values at the base width, where it is not
            that of the module itself.
        threads: torch threads of the check.
        force: make the plan although the coordinate check speaks against it.
        **fields: other fields of a request: ``optimizer={"name": "adamw", "beta2": 0.95}``, ``schedule=``, ``inner=``,
            ``transfer=``, ``parametrization=``, ``regularization=``, ``seed=``.

    Raises:
        InvalidRequest: neither model nor task, or one thing said twice.
        pydantic.ValidationError: a field or value is wrong; the message says which, and what is allowed.
        pydantic_core.PydanticCustomError: a label fits no tensor, or a tensor has no learning rate.
        ValueError: a role cannot be told, and the message asks for it.
        hpo.errors.HpoError: the module or the data cannot be used; ``Refused``: the check or a rule speaks against it.
        NotInstalled: torch is not installed: pip install 'windtunnel[worker]'.
    """
    target = {"width": width, "depth": depth, "steps": steps, "batch_size": batch_size, "examples": examples}
    asked = {"values": dict(values), "force": force, "target": {k: v for k, v in target.items() if v is not None}, **fields}
    need_to_train("windtunnel.carry")
    import torch

    with settings_of_torch():
        torch.set_num_threads(threads)
        if callable(model):
            if task is not None:
                raise InvalidRequest(f"the task is given twice, as model and as task {task!r}; give one of them")
            length = InnerSpec.model_validate(fields.get("inner", {}))
            own = _own(model, base_width, base_depth, data, inputs, roles, init_std, length)
            return _of_module(own, asked)
        if task is None:
            raise InvalidRequest(
                "model is no function; give a function of the width that makes the module, model=lambda width: ..., or task"
            )
        for name, given in (("data", data), ("inputs", inputs), ("roles", roles), ("init_std", init_std)):
            if given is not None:
                raise InvalidRequest(f"{name} is for a module of your own; task {task!r} brings its own")
        size = {"width": base_width, "depth": base_depth}
        sized = {**(model or {}), **{name: value for name, value in size.items() if value is not None}}
        return _of_task({**asked, "task": task, "model": sized})


@dataclass(frozen=True)
class _Own:
    """A module of one's own, and the data of its check."""

    task: UserTask
    data: "Callable[[UserTaskInfo], TaskData]"


def _own(
    build: Callable[..., Any],
    base_width: int | None,
    base_depth: int | None,
    data: Any,
    inputs: Any,
    roles: Mapping[str, Role] | None,
    init_std: Mapping[str, float] | None,
    length: InnerSpec,
) -> _Own:
    """The task of a module whose tensors start as the module itself starts them."""
    from hpo.families.own.appearance import appearance, batch_of, made_up, own_deviations
    from hpo.families.own.refusals import refuse_untrainable
    from hpo.families.own.user_module import made

    builder, usual_depth = with_depth(build)
    if base_depth is not None and usual_depth is None:
        raise InvalidRequest(f"base_depth {base_depth} with a function of the width alone; let it take (width, depth)")
    if data is not None and inputs is not None:
        raise InvalidRequest("data are (inputs, labels), and inputs are given, too; give one of them")
    example, labels = (None, None) if data is inputs is None else one_batch(inputs if data is None else data)
    seen = length.steps * length.batch_size
    task = UserTask(
        name=f"local-{next(NUMBERS)}",
        title=getattr(build, "__qualname__", type(build).__name__),
        input_shape=(1,),
        examples=(seen, 1, 1),
        load=lambda: None,
        build=builder,
        source="given to windtunnel.carry",
        width=64 if base_width is None else base_width,
        depth=base_depth or usual_depth or 1,
        batch_size=length.batch_size,
        roles=dict(roles or {}),
    )
    module = made(task, task.width, task.depth)
    refuse_untrainable(module, task.name)
    found = appearance(module, example)
    task = replace(task, kind=found.kind, inputs=found.inputs, input_shape=found.input_shape, classes=found.classes)
    task = replace(task, init_std={**(init_std or {}), **own_deviations(task, init_std or {})})
    if labels is None or example is None:
        return _Own(task, lambda info: made_up(info, found, 0))
    known = batch_of(example, labels, found)
    return _Own(task, lambda info: replace(known, name=info.name))


def check_module(
    build: Callable[..., Any],
    fields: Mapping[str, Any],
    widths: Sequence[int] | None = None,
    *,
    base_width: int | None = None,
    roles: Mapping[str, Role] | None = None,
    **settings: Any,
) -> CoordinateCheck:
    """Coordinate check of a module of one's own, whose tensors start as the module itself starts them.

    Args:
        build: (width) or (width, depth) -> torch.nn.Module.
        fields: fields of a job's spec, such as ``parametrization`` and ``optimizer``.
        widths: at least two, rising; by default widths that take seconds.
        base_width: width at which the module's own start is taken; by default 64.
        roles: name pattern of tensors -> role, where shapes and types of layers do not tell it.
        **settings: ``seeds``, ``steps`` and ``learning_rate`` of the check.

    Raises:
        pydantic.ValidationError: a field is wrong.
        hpo.errors.HpoError: the module cannot be used.
        ValueError: a role cannot be told, or the widths do not rise.
    """
    from hpo.evidence.coordcheck import coordinate_check

    with settings_of_torch():
        own = _own(build, base_width, None, None, None, roles, None, InnerSpec())
        info = _described(own.task)
        size = {"width": own.task.width, "depth": own.task.depth}
        spec = JobSpec.of({"task": info.name, "model": size, **fields}, info)
        return coordinate_check(spec, {}, widths, data=own.data(info), **settings)


def _described(task: UserTask) -> UserTaskInfo:
    """Facts of the task, with the table of its module."""
    from hpo.families.own.describing import describe
    from hpo.families.own.widths import with_true_sizes

    table = describe(task)
    return task.info_with(with_true_sizes(task, task.info_with(table), table))


def _of_module(own: _Own, asked: Mapping[str, Any]) -> LocalPlan:
    task = own.task
    info = _described(task)
    request = CarryRequest.of({"task": task.name, "model": {"width": task.width, "depth": task.depth}, **asked}, info)
    return LocalPlan.fitting(_checked(request, own.data(info)), info)


def _of_task(asked: Mapping[str, Any]) -> LocalPlan:
    from hpo.tasks import data_of

    request = CarryRequest.model_validate(asked)
    plan = _checked(request, data_of(request.spec))
    found: LocalPlan = LocalPlan.model_validate(plan.model_dump()).knowing(request.spec.info)
    return found


def _checked(request: CarryRequest, data: "TaskData") -> TransferPlan:
    """The plan, after a coordinate check where the width changes and the parametrization has a rule for it."""
    from hpo.evidence.coordcheck import coordinate_check
    from hpo.families.facts.registry import proxy_tensors
    from hpo.plans.carrying import carried, check_values

    spec = request.spec
    # What is wrong with the values is told before the check is run.
    check_values(request, proxy_tensors(spec.model, spec.info))
    checked = request.target.width != spec.model.width and spec.parametrization != "standard"
    check = coordinate_check(spec, request.labels, data=data) if checked else None
    return carried(
        request, check, plan_id=f"plan_local_{next(NUMBERS)}", created_at=datetime.now(UTC), data_sha256=data.sha256
    )


__all__ = ["carry", "check_module"]
