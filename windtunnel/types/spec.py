"""JobSpec: one tuning request. ``{"task": "digits"}`` alone is valid; every other field has a default."""

from collections.abc import Collection, Mapping
from typing import Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.checks.best_response import check_best_response, check_that_estimator_can, check_that_estimators_take
from windtunnel.types.checks.initial import check_initial
from windtunnel.types.checks.matrices import check_that_matrices_are_stored_as_such
from windtunnel.types.checks.pathwise import check_that_updates_have_derivatives
from windtunnel.types.checks.regularisers import check_regularisers
from windtunnel.types.checks.transfer import (
    check_measurements,
    check_rules,
    check_run_rules,
    check_size,
    check_that_rules_carry,
    depth_exponent,
)
from windtunnel.types.datasets import is_dataset
from windtunnel.types.hyperparameters import (
    DEFAULT_RANGES,
    HARD_RANGES,
    MULTIPLIERS,
    REGULARISERS,
    HyperparameterName,
    Scope,
    scopes_of,
)
from windtunnel.types.kinds import listed
from windtunnel.types.method import MethodSpec
from windtunnel.types.model import ModelSpec, with_defaults
from windtunnel.types.modules import ModuleInfo
from windtunnel.types.optimizer import OptimizerSpec
from windtunnel.types.optimizers import having
from windtunnel.types.optimizers import names as optimizer_names
from windtunnel.types.outer import OuterSpec
from windtunnel.types.regularization import RegularizationSpec
from windtunnel.types.schedules import (
    FIELDS,
    CosineSchedule,
    GPT3Schedule,
    KnotsSchedule,
    ScheduleSpec,
    is_shape,
)
from windtunnel.types.tasks import OfTask, TaskInfo, UnknownTask, named
from windtunnel.types.transfer import AveragesRule, DepthRule, HorizonRuleName, Parametrization, TransferSpec


class InnerSpec(Request):
    """One training run of the proxy."""

    steps: int = Field(200, ge=2, le=100_000, description="Optimizer updates in a run.")
    batch_size: int = Field(64, ge=1, le=65_536, description="Examples of an update; 16 by default for text.")
    seeds: int = Field(4, ge=1, le=64, description="Runs (initialisation and batch order) averaged at each point.")


class SearchItem(Request):
    """One hyperparameter to tune. Without a range, the default range of that hyperparameter is used."""

    name: HyperparameterName
    scope: Scope = "global"
    low: float | None = Field(None, gt=0)
    high: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _sound_range(self) -> Self:
        low, high = self.range
        least, most = HARD_RANGES[self.name]
        if self.scope not in (scopes := scopes_of(self.name)):
            only = ", ".join(sorted(name for name in DEFAULT_RANGES if self.scope in scopes_of(name)))
            kind = "is global" if scopes == ("global",) else f"has no scope {self.scope!r}; it has {', '.join(scopes)}"
            raise misfit("/scope", f"{self.name} {kind}: scope {self.scope!r} is allowed for {only} only", self.scope)
        if not low < high:
            raise misfit("/low", f"low must be below high, got low {low:g} and high {high:g}", low)
        if low < least or high > most:
            end, value = ("/low", low) if low < least else ("/high", high)
            raise misfit(
                end, f"range {low:g} to {high:g} of {self.name} leaves what is allowed: {least:g} to {most:g}", value
            )
        return self

    @property
    def range(self) -> tuple[float, float]:
        """(low, high) in force."""
        low, high = DEFAULT_RANGES[self.name]
        return (low if self.low is None else self.low, high if self.high is None else self.high)


class Target(Request):
    """The large model whose config is wanted. A field that is left out has the proxy's value."""

    width: int = Field(ge=4, le=1_048_576)
    depth: int | None = Field(None, ge=1, le=1024)
    steps: int | None = Field(None, ge=2, le=1_000_000_000)
    batch_size: int | None = Field(None, ge=1, le=1_073_741_824, description="Examples of an update.")
    examples: int | None = Field(
        None, ge=1, le=10**15, description="Training examples of the large run (for text, windows of the proxy's context)."
    )
    horizon_rule: HorizonRuleName | None = Field(
        None, description="Rule of the learning rate over the length of the run; left out: transfer.horizon_rule."
    )
    averages_rule: AveragesRule | None = Field(
        None, description="Rule of betas and eps over the length of the run; left out: transfer.averages_rule."
    )


def facts_for(task: str, info: ValidationInfo) -> TaskInfo | None:
    """Facts of a spec's task: as handed over for this validation, else of the built-in or installed task of that name.

    None for a data set whose facts were not handed over.

    Raises:
        UnknownTask: no such task is built in or installed here.
    """
    handed = (info.context or {}).get("task")
    if isinstance(handed, TaskInfo) and handed.name == task:
        return handed
    return None if is_dataset(task) else named(task)


class JobSpec(OfTask, Request):
    """One tuning request: task, proxy, optimizer, search space, method, budget, optional target."""

    name: str = Field("", max_length=200)
    task: str = Field(
        max_length=200, description="A task that GET /v1/tasks lists, or the id of a data set that was uploaded."
    )
    model: ModelSpec = ModelSpec()
    parametrization: Parametrization = "mup"
    transfer: TransferSpec = TransferSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = CosineSchedule()
    regularization: RegularizationSpec = RegularizationSpec()
    inner: InnerSpec = InnerSpec()
    search: tuple[SearchItem, ...] = Field(
        (SearchItem(name="learning_rate", scope="role"), SearchItem(name="weight_decay", scope="role")),
        min_length=1,
        max_length=32,
    )
    initial: dict[str, float] = Field(
        default_factory=dict,
        max_length=10_000,
        description="Starts of searched hyperparameters: label (learning_rate.hidden, beta1) -> value. Default: "
        "the values in optimizer, schedule and regularization.",
    )
    method: MethodSpec = MethodSpec()
    outer: OuterSpec = OuterSpec()
    target: Target | None = None
    seed: int = Field(0, ge=0, lt=2**31)

    @classmethod
    def of(cls, given: Mapping[str, Any], task: TaskInfo) -> Self:
        """Spec of a task whose facts are handed over, with the task's defaults filled in, checked against the facts.

        Facts are handed over for an uploaded data set and for a task that lives in this process alone. A spec that names a
        data set is not checked without them: only code that may read the data set knows its facts.

        Raises:
            ValidationError: a field does not fit.
        """
        return cls.model_validate(given, context={"task": task})

    def check(self, task: TaskInfo) -> Self:
        """Spec of the fields that were set, with the task's defaults filled in, checked against the facts of the task.

        Raises:
            ValidationError: a field does not fit.
        """
        return self.of(self.model_dump(exclude_unset=True), task)

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_task(cls, data: Any, info: ValidationInfo) -> Any:
        return cls.with_task_defaults(data, info, ("model", "inner"))

    @staticmethod
    def with_task_defaults(data: Any, info: ValidationInfo, parts: Collection[str]) -> Any:
        """A request filled up with the defaults of its task; unchanged where the task is not known.

        Args:
            data: the request.
            info: what validation is handed; it may hold the facts of the task.
            parts: fields to fill up, of ``model`` and ``inner``.
        """
        # Defaults of the model and the run follow from the task, which the types of model and run do not know.
        name = data.get("task") if isinstance(data, Mapping) else None
        try:
            task = facts_for(name, info) if isinstance(name, str) else None
        except UnknownTask:
            return data
        if task is None:
            return data
        inner = data.get("inner", {})
        if isinstance(inner, dict):
            inner = {"batch_size": task.batch_size, **inner}
        size = None if task.module is None else {"width": task.width or task.module.base, "depth": task.module.depth}
        filled = {"model": with_defaults(data.get("model", {}), task.families, size), "inner": inner}
        return {**data, **{name: filled[name] for name in parts}}

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError(f"name {name!r} has characters that cannot be shown; allowed: printable ones")
        return name

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        if self._info is not None and self._info.name == self.task:  # checked before; now the field of another model
            return self
        try:
            task = facts_for(self.task, info)
        except UnknownTask as unknown:
            if self.model.info.from_task:
                # A finished job of a task that is installed on the workers, read where it is not: checked when submitted.
                return self
            raise misfit("/task", str(unknown), self.task) from unknown
        if task is not None:
            self._info = task
            self._check_fields(task)
        return self

    def _check_fields(self, task: TaskInfo) -> None:
        """Raise on the first field that does not fit the task or the other fields."""
        if task.module is not None:
            self._check_module(task.module)
        if self.model.family not in task.families:
            raise misfit(
                "/model/family",
                f"family {self.model.family!r} cannot learn task {self.task!r}; allowed: {', '.join(task.families)}",
                self.model.family,
            )
        names = [item.name for item in self.search]
        for index, item in enumerate(self.search):
            if item.name in names[:index]:
                raise misfit(f"/search/{index}/name", f"{item.name} is searched twice; give it one item", item.name)
            self._check_search_item(index, item, task)
        searched = {item.name: f"/search/{index}/name" for index, item in enumerate(self.search)}
        check_regularisers(task, self.model, self.regularization, searched)
        keys = {"mixture_weight": task.sources, "knot": self.knot_keys, "dropout": self.model.layers}
        check_initial(self.initial, self.search, keys)
        check_best_response(self.method, self.outer, names, self.inner.steps, self.regularization)
        if self.inner.batch_size > task.train_examples:
            raise misfit(
                "/inner/batch_size",
                f"batch_size {self.inner.batch_size} is larger than the {task.train_examples} training examples of "
                f"{self.task!r}",
                self.inner.batch_size,
            )
        self._check_that_warmup_ends(task)
        check_rules(self.transfer, self.model.family, self.optimizer, self.parametrization)
        check_that_updates_have_derivatives(self.method, self.optimizer.info)
        if task.module is not None:
            check_that_matrices_are_stored_as_such(task.module, self.optimizer.info)
        if self.outer.early_stopping and self.method.info.is_best_response:
            raise misfit(
                "/outer/early_stopping",
                f"early_stopping with method.estimator {self.method.estimator!r}, which runs no race of candidates; "
                "allowed: false, or another estimator, such as 'auto'",
                True,
            )
        if self.outer.starts > 1 and self.method.info.has_sampler:
            raise misfit(
                "/outer/starts",
                f"starts {self.outer.starts} with method.estimator {self.method.estimator!r}, which makes its own starts; "
                "allowed: 1, or name an estimator to follow, such as 'reverse'",
                self.outer.starts,
            )
        if self.target is not None:
            self.check_target(self.target, "/target")
            self._check_that_rules_reach(self.target)
        module = task.module
        check_measurements(
            self.transfer,
            self.model,
            self.optimizer,
            self.inner.steps,
            decays=self.decays,
            penalty=self.penalty,
            check_width=module.check_width if module else None,
        )

    @property
    def decays(self) -> bool:
        """Whether the job has weight decay, constant or searched."""
        return self.optimizer.weight_decay > 0 or self.searches("weight_decay")

    @property
    def penalty(self) -> float | None:
        """Coefficient lambda of the L2 penalty in the loss at the start, or the largest of its schedule; None: off."""
        terms = self.regularization
        moving = [max(line) for label, line in terms.schedule.items() if label.partition(".")[0] == "l2"]
        return None if self.start_value("l2") is None else max([terms.l2, *moving])

    def _check_module(self, module: ModuleInfo) -> None:
        """Refuse settings that no module of one's own can have, and sizes that this module cannot have."""
        model = self.model
        for name, size in (("depth", model.depth), ("width", model.width)):
            try:
                module.check_depth(size) if name == "depth" else module.check_width(size)
            except ValueError as error:
                raise misfit(f"/model/{name}", str(error), size) from error
        check_that_estimators_take(self.method)
        searched = {item.name: f"/search/{index}/name" for index, item in enumerate(self.search)}
        if "embedding_multiplier" in searched and any(law.tied for law in module.tensors):
            raise misfit(
                searched["embedding_multiplier"],
                "embedding_multiplier would act on the readout, too: the module's embedding is tied to it",
                "embedding_multiplier",
            )

    @property
    def depth_rule(self) -> DepthRule:
        """Depth rule in force: ``completep`` where it covers the job and the job does not say ``copy``; else ``copy``."""
        return "copy" if self.depth_exponent is None else "completep"

    @property
    def depth_exponent(self) -> float | None:
        """Exponent alpha of CompleteP in force; None where values do not depend on the depth."""
        return depth_exponent(self.transfer, self.model.family, self.optimizer.info, self.parametrization)

    def _check_that_rules_reach(self, target: Target) -> None:
        """Refuse a job whose target no rule can reach: it would end without a plan."""
        deeper = self.depth_rule == "completep" and target.depth not in (None, self.model.depth)
        if target.width == self.model.width and not deeper:
            return
        searched = [(f"/search/{index}/name", item.name) for index, item in enumerate(self.search) if item.name == "l2"]
        penalty = None if self.penalty is None else (*searched, ("/regularization/l2", self.penalty))[0]
        check_that_rules_carry(self.parametrization, self.optimizer, decays=self.decays, penalty=penalty)

    def _check_that_warmup_ends(self, task: TaskInfo) -> None:
        """Refuse a warmup, counted in tokens, that is longer than the run, such as GPT-3's own for a proxy."""
        if not isinstance(self.schedule, GPT3Schedule) or self.schedule.warmup_tokens is None:
            return
        tokens, inner = self.tokens_per_step * self.inner.steps, self.inner
        if self.schedule.warmup_tokens >= tokens:
            each = f"{task.features} tokens" if task.kind == "language" else "one token, for the task has no context"
            raise misfit(
                "/schedule/warmup_tokens",
                f"warmup_tokens {self.schedule.warmup_tokens:,} must be below the {tokens:,} tokens of this run: "
                f"{inner.steps:,} steps of {inner.batch_size:,} examples, and an example of {self.task!r} is {each}",
                self.schedule.warmup_tokens,
            )

    def _check_search_item(self, index: int, item: SearchItem, task: TaskInfo) -> None:
        rule, name, path = self.optimizer, item.name, f"/search/{index}/name"
        owners = having(name)
        if owners and name not in rule.info.settings:
            averages = rule.info.averages
            instead = f"; it has {listed(averages, 'and')}" if averages and name in owners[0].averages else ""
            raise misfit(
                path, f"{name} is a hyperparameter of {optimizer_names(owners, 'and')}, not of {rule.name}{instead}", name
            )
        if name == "clip_norm" and rule.clip_norm is None:
            raise misfit(path, "clip_norm is searched but optimizer.clip_norm is null (no clipping)", name)
        if is_shape(name) and name not in self.schedule.shape:
            has = ", ".join(self.schedule.shape) or "nothing to search"
            raise misfit(path, f"schedule {self.schedule.name!r} has no {name}; it has {has}", name)
        if name == "attention_multiplier" and name not in self.model.info.dials:
            raise misfit(path, f"attention_multiplier belongs to transformers, not to family {self.model.family!r}", name)
        if name == "mixture_weight" and len(task.sources) < 2:
            raise misfit(path, f"mixture_weight needs data from several sources; task {self.task!r} has one", name)
        check_that_estimator_can(self.method, name, path)
        low, high = item.range
        owner, field = self._owner(name), FIELDS[name] if is_shape(name) else name
        settings = getattr(self, owner)
        # Compared with the default, not with what the request spelled out: a spec that is written out in full and read
        # back must stay valid.
        is_default = (
            field not in type(settings).model_fields
            or getattr(settings, field) == type(settings).model_fields[field].default
        )
        for start in [] if is_default else self._starts(name):
            if not low <= start <= high:
                message = f"the start {start:g} of {name} is outside its search range {low:g} to {high:g}"
                raise misfit(f"/{owner}/{field}", message, start)

    def _starts(self, name: HyperparameterName) -> list[float]:
        starts = (self.start_value(name, key) for key in (self.knot_keys if name == "knot" else [""]))
        return [start for start in starts if start is not None]

    @staticmethod
    def _owner(name: HyperparameterName) -> str:
        """Name of the spec's field that holds the value of a hyperparameter."""
        if name in REGULARISERS:
            return "regularization"
        return "schedule" if is_shape(name) else "optimizer"

    @property
    def knot_keys(self) -> list[str]:
        """Keys of the schedule's knots: "0", "1", ...; empty where it has no knots."""
        return [str(knot) for knot in range(len(self.schedule.knots))] if isinstance(self.schedule, KnotsSchedule) else []

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one update: batch size times context. Where a task has no context, one example counts as one token."""
        return self.inner.batch_size * self.context

    @property
    def context(self) -> int:
        """Tokens of an example; 1 where the task has no context."""
        return self.info.features if self.info.kind == "language" else 1

    def searches(self, name: HyperparameterName) -> bool:
        """Whether a hyperparameter is tuned."""
        return any(item.name == name for item in self.search)

    def start_value(self, name: HyperparameterName, key: str = "") -> float | None:
        """Start of a searched hyperparameter, value of any other; None where it is switched off.

        A regulariser that follows a schedule has the schedule's last value; 0 where only layers, roles or tensors have one.

        Args:
            name: the hyperparameter.
            key: number of a knot, where each knot has its own start; by default the first.
        """
        if name in MULTIPLIERS:
            return 1.0
        if name in REGULARISERS:
            terms = self.regularization
            if name in terms.moving:
                return terms.ends.get(name, 0.0)
            return terms.value(name) or (REGULARISERS[name] if self.searches(name) else None)
        if is_shape(name):
            value = self.schedule.value(name) if name in self.schedule.shape else None
            return value[int(key or 0)] if isinstance(value, tuple) else value
        return self.optimizer.default(name)

    def check_target(self, target: Target, path: str) -> None:
        """Refuse a target that the transfer rules cannot reach from this proxy; ``path`` points at the target."""
        proxy = self.model
        depth = proxy.depth if target.depth is None else target.depth
        try:
            module = self.info.module
        except UnknownTask:  # a job of a task that is installed on the workers alone
            module = None
        if module is not None:
            for name, size in (("depth", depth), ("width", target.width)):
                try:
                    module.check_depth(size) if name == "depth" else module.check_width(size)
                except ValueError as error:
                    raise misfit(f"{path}/{name}", str(error), size) from error
        check_size(proxy, target.width, depth, path)
        check_run_rules(target.horizon_rule, target.averages_rule, self.optimizer.info, path)
