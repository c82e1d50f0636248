"""CarryRequest: values that were found outside of a job, and the large model to which they are to be carried."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from windtunnel.types.base import Request, misfit
from windtunnel.types.hyperparameters import (
    HARD_RANGES,
    LAYERED,
    REGULARISERS,
    SCOPED,
    SOURCED,
    HyperparameterName,
    Scope,
)
from windtunnel.types.model import ModelSpec
from windtunnel.types.optimizer import OptimizerSpec
from windtunnel.types.optimizers import BOUNDS
from windtunnel.types.regularization import RegularizationSpec
from windtunnel.types.schedules import CosineSchedule, ScheduleSpec
from windtunnel.types.spec import JobSpec, Target, facts_for
from windtunnel.types.tasks import OfTask, TaskInfo, UnknownTask
from windtunnel.types.tensors import ROLES
from windtunnel.types.transfer import Parametrization, TransferRules

MOST_VALUES = 10_000
OFF: frozenset[str] = frozenset(
    {"weight_decay", *REGULARISERS, *(name for name, each in BOUNDS.items() if each.includes_low)}
)
"""Hyperparameters that 0 switches off."""


class RunLength(Request):
    """Length of the runs in which the values were found."""

    steps: int | None = Field(None, ge=2, le=1_000_000_000, description="Optimizer updates of a run.")
    batch_size: int | None = Field(None, ge=1, le=1_073_741_824, description="Examples of an update.")


class CarryRequest(OfTask, Request):
    """Values that were found outside of a job, and the large model whose config is wanted."""

    values: dict[str, float] = Field(
        min_length=1,
        max_length=MOST_VALUES,
        description="Label (learning_rate, learning_rate.hidden, beta2) -> value that was found for the small model.",
    )
    task: str = Field(
        max_length=200,
        description="A task that GET /v1/tasks lists, or the id of an uploaded data set: it sets the model's inputs and "
        "outputs, and the coordinate check uses its data.",
    )
    model: ModelSpec = Field(ModelSpec(), description="The small model for which the values were found.")
    parametrization: Parametrization = "mup"
    transfer: TransferRules = TransferRules()
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = CosineSchedule()
    regularization: RegularizationSpec = RegularizationSpec()
    inner: RunLength = RunLength()
    target: Target
    force: bool = Field(
        False, description="Make the plan although the coordinate check speaks against it; the plan says so."
    )
    seed: int = Field(0, ge=0, lt=2**31)
    _spec: JobSpec | None = PrivateAttr(None)

    @classmethod
    def of(cls, given: Mapping[str, Any], task: TaskInfo) -> Self:
        """Request for a task whose facts are handed over.

        Raises:
            ValidationError: a field does not fit.
        """
        return cls.model_validate(given, context={"task": task})

    def check(self, task: TaskInfo) -> Self:
        """The request, checked against the facts of its task, which are handed over.

        Raises:
            ValidationError: a field does not fit.
        """
        return self.of(self.model_dump(exclude_unset=True), task)

    @model_validator(mode="before")
    @classmethod
    def _family_of_task(cls, data: Any, info: ValidationInfo) -> Any:
        given = data.get("values") if isinstance(data, Mapping) else None
        for label, value in given.items() if isinstance(given, Mapping) else ():
            if isinstance(value, bool):  # to Python, true is the number 1
                raise misfit(f"/values/{label}", f"{label} must be a number, got {str(value).lower()}", value)
        # The default family of the model follows from the task.
        return JobSpec.with_task_defaults(data, info, ("model",))

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        for label, value in self.values.items():
            _check_value(label, value)
        for name in ("steps", "batch_size"):
            if getattr(self.target, name) is not None and getattr(self.inner, name) is None:
                raise misfit(
                    f"/inner/{name}",
                    f"target.{name} is given, and inner.{name} is not: say how the small model's runs were, so that the "
                    "values can follow",
                    None,
                )
        try:
            task = facts_for(self.task, info)
        except UnknownTask as unknown:
            raise misfit("/task", str(unknown), self.task) from unknown
        if task is not None:
            self._info = task
            self._spec = self._as_job(task)
        return self

    @property
    def spec(self) -> JobSpec:
        """The request as the spec of a job that searches these hyperparameters, with all defaults filled in.

        Raises:
            ValueError: the task is a data set whose facts were not handed over (``check``).
        """
        if self._spec is None:
            raise ValueError(f"the facts of task {self.task!r} are not known here; hand them over with check(task)")
        return self._spec

    @property
    def labels(self) -> dict[str, float]:
        """Label -> value; a regulariser that only some layers or roles have is 0 in all others."""
        names = {label.partition(".")[0] for label in self.values}
        return {**{name: 0.0 for name in REGULARISERS if name in names}, **self.values}

    @property
    def defaults(self) -> dict[str, Any]:
        """Setting of the run that the request leaves open -> its default, which the plan uses."""
        spec, given = self.spec, self.values
        open_: dict[str, Any] = {}
        for name in ("weight_decay", *spec.optimizer.info.settings, "clip_norm"):
            labels = [label for label in given if label.partition(".")[0] == name]
            value = spec.optimizer.default(name)  # type: ignore[arg-type]
            if not labels and name not in self.optimizer.model_fields_set and value is not None:
                open_[name] = value
        if "schedule" not in self.model_fields_set:
            open_["schedule"] = spec.schedule.name
        for name in ("steps", "batch_size"):
            if getattr(self.inner, name) is None:
                open_[f"inner.{name}"] = getattr(spec.inner, name)
        return open_

    def _as_job(self, task: TaskInfo) -> JobSpec:
        names = list(dict.fromkeys(label.partition(".")[0] for label, value in self.values.items() if value > 0))
        search = [
            {"name": name, "scope": self._scope(name), "low": HARD_RANGES[name][0], "high": HARD_RANGES[name][1]}  # type: ignore[index]
            for name in names
        ] or [{"name": "learning_rate"}]
        shared = ("task", "model", "parametrization", "transfer", "optimizer", "schedule", "regularization", "seed")
        given = self.model_dump(include=set(shared), exclude_unset=True)
        given["inner"] = self.inner.model_dump(exclude_none=True)
        try:
            return JobSpec.of({**given, "search": search, "target": self.target.model_dump(exclude_none=True)}, task)
        except ValidationError as error:
            raise self._in_our_words(error, names) from error

    def _scope(self, name: str) -> Scope:
        keys = [label.partition(".")[2] for label in self.values if label.partition(".")[0] == name]
        if name in LAYERED and any(keys):
            return "layer"
        if name not in SCOPED or not any(keys):
            return "global"
        return "role" if all(key in ("", *ROLES) for key in keys) else "tensor"

    def _in_our_words(self, error: ValidationError, names: list[str]) -> Exception:
        """The first error of the job's spec, with pointers into this request."""
        first = error.errors()[0]
        path = "".join(f"/{part}" for part in first["loc"]) + str(first.get("ctx", {}).get("path", ""))
        message = str(first.get("ctx", {}).get("message", first["msg"]))
        given = first.get("ctx", {}).get("given", first["input"])
        if path.startswith("/search/"):
            name = names[int(path.split("/")[2])]
            label = next(label for label in self.values if label.partition(".")[0] == name)
            return misfit(f"/values/{label}", message, self.values[label])
        return misfit(path, message, given)


def _check_value(label: str, value: float) -> None:
    """Refuse a label that names no hyperparameter, or a value out of its range."""
    name, _, key = label.partition(".")
    path = f"/values/{label}"
    known: HyperparameterName | None = next((each for each in HARD_RANGES if each == name), None)
    if known is None:
        raise misfit(path, f"no hyperparameter {name!r} (label {label!r}); allowed: {', '.join(HARD_RANGES)}", value)
    if key and known not in SCOPED | LAYERED and known not in SOURCED:
        raise misfit(path, f"{name} has one value for the whole model: its only label is {name!r}, not {label!r}", value)
    if not key and known in SOURCED:
        raise misfit(path, f"{name} has a value for each {SOURCED[known]}; name one of them, as in '{name}.KEY'", value)
    low, high = HARD_RANGES[known]
    if not (low <= value <= high or (value == 0 and name in OFF)):
        zero = "0, or " if name in OFF else ""
        raise misfit(path, f"{label} is {value:g}; allowed: {zero}{low:g} to {high:g}", value)
