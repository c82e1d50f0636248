"""``windtunnel.tune``: tune a module of one's own in this process, without a server. Needs torch when it is called."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import PrivateAttr

from windtunnel.building import NUMBERS, settings_of_torch, with_depth
from windtunnel.client._errors import InvalidRequest
from windtunnel.client._local import need_to_train
from windtunnel.client._progress import JobProgress
from windtunnel.client._result import Result
from windtunnel.handing import input_kind, parts_of, try_module, warn_of_size
from windtunnel.local_plan import LocalPlan
from windtunnel.tasks.user import Loss, UserTask, UserTaskInfo
from windtunnel.types import JobSpec, OuterStep, Target, TuneResult
from windtunnel.types.families import TaskKind
from windtunnel.types.modules import InputKind
from windtunnel.types.tensors import Role


class LocalResult(Result):
    """Result of ``tune``, with all fields of ``TuneResult``."""

    _task: UserTaskInfo = PrivateAttr()
    _steps: list[OuterStep] = PrivateAttr(default_factory=list)
    _number: int = PrivateAttr(0)

    @classmethod
    def found(cls, result: TuneResult, task: UserTaskInfo, steps: list[OuterStep], number: int) -> Self:
        """The result of one run of ``tune``."""
        made = cls.model_validate({**result.model_dump(), "spec": result.spec})
        made._task, made._steps, made._number = task, steps, number
        return made

    def steps(self) -> list[OuterStep]:
        """Every outer step, in order."""
        return list(self._steps)

    def plan(
        self,
        *,
        width: int,
        depth: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        examples: int | None = None,
        law_fit: str | None = None,
        force: bool = False,
    ) -> LocalPlan:
        """The config of a large model: give it and the model to ``windtunnel.torch.optimizer``.

        The tensors are those of the module that ``build`` makes at that size, on the meta device.

        Args:
            width: width of the large model.
            depth: depth of the large model; the proxy's by default.
            steps: optimizer updates of its run; the proxy's by default.
            batch_size: examples of an update; the proxy's by default. The learning rate follows it.
            examples: examples of its training set; the proxy's by default. The weight decay follows it.
            law_fit: must be None: only a server stores fits.
            force: make the plan although a measurement speaks against it.

        Raises:
            hpo.errors.Refused: the coordinate check or the ladder failed, the batch size is above the critical one, or no
                rule carries a tuned value to that size.
            InvalidRequest: the module of that size has other tensors than its table says, or a fit was named.
            PydanticCustomError: the transfer rules cannot reach the size from the proxy.
        """
        from hpo.plans.transfer import make_plan

        if law_fit is not None:
            raise InvalidRequest(f"law_fit {law_fit!r} is kept by a server, and this result came from none; leave it out")
        target = Target(width=width, depth=depth, steps=steps, batch_size=batch_size, examples=examples)
        plan = make_plan(
            self,
            target,
            plan_id=f"plan_local_{self._number}",
            job_id=f"job_local_{self._number}",
            created_at=datetime.now(UTC),
            force=force,
        )
        return LocalPlan.fitting(plan, self._task)


def tune(
    build: Callable[..., Any] | None = None,
    data: Any = None,
    *,
    model: Callable[..., Any] | Mapping[str, Any] | None = None,
    base_width: int | None = None,
    loss: Loss | None = None,
    kind: TaskKind = "classification",
    inputs: InputKind | None = None,
    classes: int | None = None,
    sources: tuple[str, ...] = ("all",),
    roles: Mapping[str, Role] | None = None,
    init_std: Mapping[str, float] | None = None,
    threads: int = 1,
    device: str = "cpu",
    progress: bool | None = None,
    **fields: Any,
) -> LocalResult:
    """Tune the hyperparameters of a module of one's own in this process, as a job on a server does.

    ```python
    result = windtunnel.tune(model=lambda width: MyNet(width), base_width=64, data=(train, valid, test), loss=my_loss)
    result.plot()
    ```

    Args:
        build: (width, depth) or (width) -> torch.nn.Module whose ``forward(inputs)`` gives logits [batch, classes]; for
            text [batch, context, classes], for a regression [batch, 1].
        data: (train, validation, test), each (inputs, labels) or (inputs, labels, sources), as arrays or tensors. Inputs
            are taken as they are: scale them before.
        model: another name of ``build``; or, beside it, the field of a job: ``model={"width": 32, "depth": 2}``.
        base_width: width of the proxy, which is tuned; the same as ``model={"width": ...}``. By default 64.
        loss: (outputs, labels) of a batch -> its mean loss, or the loss of each example [batch], for training and
            evaluation. Outputs are logits; for a regression [batch]. By default cross-entropy, for a regression the squared
            error.
        kind: kind of task: classes, a number, or the next token.
        inputs: ``floats`` or ``tokens``; by default tokens for text, else told by the data.
        classes: number of classes, for text the size of the vocabulary; by default the largest label plus 1.
        sources: names of the data sources, if the data number them.
        roles: name pattern of tensors -> role, where shapes and types of layers do not tell it.
        init_std: name pattern of tensors -> standard deviation of initial values at the proxy's width, where
            it is not sqrt(1 / fan-in).
        threads: torch threads of the tuning; afterwards the former number is set again.
        device: where to train: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``, the first GPU if there is one.
        progress: show the progress on standard error: a bar on a terminal or in a notebook, elsewhere a line for each
            phase and outer step. None: only the bar.
        **fields: other fields of a ``JobSpec``, except its task: ``search=[...]``, ``inner={...}``.

    Returns:
        The result; ``result.plan(width=...)`` is the config of the large model, ``result.plot()`` a figure.

    Raises:
        InvalidRequest: no function, no data, or one thing said twice.
        pydantic.ValidationError: a field is wrong; the message says which, and what is allowed.
        ValueError: a role cannot be told, and the message asks for it.
        hpo.errors.HpoError: the module, the loss or the data cannot be used, or every run diverged, or the device is not
            there; the message says what to do.
        NotInstalled: torch is not installed: pip install 'windtunnel[worker]'.
    """
    if "task" in fields:
        raise InvalidRequest("tune takes its task from build and data; to tune an installed task, submit a job")
    build, size = _what(build, model, base_width)
    if isinstance(loss, type):
        raise InvalidRequest(f"loss is the class {loss.__name__}; give an object of it: {loss.__name__}()")
    if loss is not None and not callable(loss):
        raise InvalidRequest(f"loss is {loss!r}; give a function (outputs, labels) -> loss")
    if data is None:
        raise InvalidRequest("data is missing; give (train, validation, test), each (inputs, labels)")
    need_to_train("windtunnel.tune")
    from hpo.devices import device_of
    from hpo.families.own.describing import describe
    from hpo.families.own.loose import refuse_loose_readouts, refuse_unused_layers
    from hpo.families.own.owners import owners
    from hpo.families.own.user_module import example_inputs, made
    from hpo.families.own.widths import with_true_sizes
    from hpo.study import Study

    device_of(device)
    number = next(NUMBERS)
    steps: list[OuterStep] = []
    with settings_of_torch():
        task = _task(build, data, f"local-{number}", kind, inputs, classes, sources, size)
        task = replace(task, roles=dict(roles or {}), init_std=dict(init_std or {}), loss=loss)
        table = describe(task)
        info = task.info_with(with_true_sizes(task, task.info_with(table), table))
        spec = JobSpec.of({"task": task.name, **fields} | ({} if size is None else {"model": size}), info)
        module, table_roles = made(task, task.width, task.depth), {law.name: law.role for law in table.tensors}
        refuse_loose_readouts(owners(module), table_roles, spec)
        refuse_unused_layers(module.float(), example_inputs(task, 1), table_roles, spec)
        with JobProgress(progress) as bar:
            study = Study(spec, threads=threads, on_progress=bar.report, device=device)
            for step in study:
                steps.append(step)
                bar.point(step)
            result = study.finish()
            bar.judged(result.verdict)
    return LocalResult.found(result, info, steps, number)


def _what(
    build: Callable[..., Any] | None, model: Callable[..., Any] | Mapping[str, Any] | None, base_width: int | None
) -> tuple[Callable[..., Any], Any]:
    """(function that makes the module, the spec's ``model``), from arguments that may name either of them in two ways."""
    if callable(model):
        if build is not None:
            raise InvalidRequest("the module is given twice, as build and as model; give one of them")
        build, model = model, None
    if not callable(build):
        given = "is missing" if build is None else f"is {type(build).__name__}"
        raise InvalidRequest(f"build {given}; give a function of the width that makes the module: model=lambda width: ...")
    if base_width is None:
        return build, model
    if isinstance(model, Mapping) and model.get("width", base_width) != base_width:
        raise InvalidRequest(f"the width is given twice: base_width {base_width} and model.width {model['width']}")
    return build, {**(model if isinstance(model, Mapping) else {}), "width": base_width}


def _task(
    build: Callable[..., Any],
    data: Any,
    name: str,
    kind: TaskKind,
    inputs: InputKind | None,
    classes: int | None,
    sources: tuple[str, ...],
    model: Any,
) -> UserTask:
    from hpo.families.own.refusals import refuse_untrainable
    from hpo.families.own.user_module import made

    parts = parts_of(data, kind, classes)
    first = parts[0][0]
    told = input_kind([part[0] for part in parts], kind, inputs)
    if told == "floats":
        warn_of_size(first)
    if classes is None:
        classes = 1 if kind == "regression" else 1 + max(int(part[1].max()) for part in parts)
    builder, usual_depth = with_depth(build)
    given = model if isinstance(model, Mapping) else {}
    width, depth = given.get("width", 64), given.get("depth", usual_depth)
    task = UserTask(
        name=name,
        title=getattr(build, "__qualname__", type(build).__name__),
        kind=kind,
        inputs=told,
        input_shape=tuple(first.shape[1:]) or (1,),
        classes=classes,
        examples=(len(parts[0][0]), len(parts[1][0]), len(parts[2][0])),
        load=lambda: parts,
        build=builder,
        sources=sources,
        source="given to windtunnel.tune",
        width=width if isinstance(width, int) else 64,
        depth=depth if usual_depth is not None and isinstance(depth, int) else 1,
        batch_size=16 if kind == "language" else 64,
    )
    module = made(task, task.width, task.depth)
    refuse_untrainable(module, task.name)
    try_module(module, first, told, inputs)
    return task


__all__ = ["LocalPlan", "LocalResult", "tune"]
