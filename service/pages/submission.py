"""What the submit form shows: the spec to start from, and what its fields mean."""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from service.fields import allowed_values, locate
from windtunnel.tasks import TASKS
from windtunnel.types import SCHEDULES, Dataset, JobSpec, Target
from windtunnel.types.families import FAMILIES

EXAMPLE = JobSpec(name="first flight", task="digits", target=Target(width=1024, depth=2, steps=2000))

SHOWN: dict[str, Any] = {
    "name": True,
    "task": True,
    "model": {"family", "width", "depth"},
    "parametrization": True,
    "optimizer": {"name"},
    "schedule": {"name", "warmup_fraction", "floor"},
    "inner": True,
    "search": True,
    "method": {"estimator"},
    "outer": {"steps", "scout"},
    "target": True,
    "seed": True,
}
"""The fields that people change most; every other one has its default."""

EXPLAINED = {
    "task": "data set, loss and model family",
    "model.family": "kind of proxy; the task's first by default",
    "model.width": "units of a hidden layer, channels, or the residual stream of the proxy",
    "model.depth": "hidden layers, residual blocks or transformer blocks of the proxy",
    "optimizer.name": "update rule of both models",
    "schedule.name": "learning rate over a run",
    "inner.steps": "optimizer updates in one run of the proxy",
    "inner.batch_size": "examples in an update",
    "inner.seeds": "runs averaged at each point",
    "search.name": "a hyperparameter to tune",
    "search.scope": "one value for all, for each role, for each tensor, or (dropout) for each layer",
    "method.estimator": "how the hypergradient is computed",
    "outer.steps": "outer steps",
    "outer.scout": "sweep learning rates first",
    "target.width": "width of the large model; leave target out for no plan",
}

OWN_MODULES = "modules of your own that are installed here"
"""What a family is for that no task here has."""


@dataclass(frozen=True)
class FieldHelp:
    """One field: its path, what it means, what it may hold."""

    path: str
    meaning: str
    allowed: str


def example(dataset: Dataset | None = None) -> JobSpec:
    """The job that the form starts with, on a data set where one is given."""
    return EXAMPLE if dataset is None else _on(dataset)


def example_text(dataset: Dataset | None = None) -> str:
    """Its spec as text."""
    shown = example(dataset).model_dump(mode="json", include=SHOWN, exclude_none=True)
    shown["search"] = [{name: item[name] for name in ("name", "scope")} for item in shown["search"]]
    search = shown["search"]
    lines = [f'  "{name}": {json.dumps(value)}' for name, value in shown.items()]
    items = ",\n".join(f"    {json.dumps(item)}" for item in search)
    return "{\n" + ",\n".join(lines).replace(json.dumps(search), f"[\n{items}\n  ]") + "\n}"


def _on(dataset: Dataset) -> JobSpec:
    """The job that ``{"task": ID}`` is, with a target sixteen times as wide."""
    plain = JobSpec.of({"name": dataset.name, "task": dataset.id}, dataset.task)
    target = Target(width=16 * plain.model.width, depth=plain.model.depth, steps=10 * plain.inner.steps)
    return plain.model_copy(update={"target": target})


def field_help() -> list[FieldHelp]:
    """The fields to know about, with what each allows."""
    return [FieldHelp(path, meaning, _allowed(path)) for path, meaning in EXPLAINED.items()]


def _allowed(path: str) -> str:
    if path == "task":
        return ", ".join(sorted(TASKS)) + ", or the id of a data set"
    if path == "model.family":
        families = {family: [name for name in sorted(TASKS) if family in TASKS[name].families] for family in FAMILIES}
        return "; ".join(f"{family} for {', '.join(names) or OWN_MODULES}" for family, names in families.items())
    if path == "schedule.name":
        return ", ".join(SCHEDULES)
    first, _, last = path.partition(".")
    location = (first, 0, last) if first == "search" else (first, last)
    return allowed_values(locate(_SPEC, location).field) or "true, false"


_SPEC: type[BaseModel] = JobSpec
