"""The form for a job: the spec to start from, what its fields mean, an estimate, the start. It works without JavaScript."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from service.caller import Caller
from service.datasets.admission import checked
from service.datasets.service import listing
from service.dependencies import CallerDependency, DatabaseDependency, SettingsDependency
from service.estimates.service import estimated
from service.jobs.admission import size_in_words
from service.jobs.service import submit
from service.pages.forms import FormDependency
from service.pages.rendering import duration
from service.pages.site import SiteDependency
from service.pages.spec_form import SpecForm, in_text, merged, spec_form
from service.problems.answers import ProblemError, invalid, problem_of, validated
from service.problems.fields import allowed_values, locate
from service.settings import ServiceSettings
from store.database import Database
from store.errors import TooManyJobs
from windtunnel.tasks import TASKS
from windtunnel.types import SCHEDULES, Dataset, FieldError, JobSpec, Problem, Target
from windtunnel.types.estimates import Estimate
from windtunnel.types.families import FAMILIES
from windtunnel.types.verdicts import number

router = APIRouter(include_in_schema=False)

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
    "search.scope": "one value for all, for each role, for each tensor, or (dropout, factors) for each layer",
    "method.estimator": "how the hypergradient is computed",
    "outer.steps": "outer steps",
    "outer.scout": "sweep learning rates first",
    "target.width": "width of the large model; leave target out for no plan",
}

OWN_MODULES = "modules of your own that are installed here"
"""Tasks of a family that no task here has."""

_SPEC: type[BaseModel] = JobSpec


@router.post("/jobs")
def submit_page(
    request: Request,
    form: FormDependency,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The form: on to the page of the job; or back to the form with an estimate, or with what is wrong.

    The estimate of a spec with mistakes is an answer like any other: it says what they are.
    """
    text = form.get("spec", "").replace("\r\n", "\n")
    asked = form.get("do") == "estimate"
    tasks = _tasks(listing(database, caller))
    content: Any = None
    try:
        content = read(text)
        content, changed = merged(form, _base(form), content)
        text = in_text(content) if changed else text
        spec = validated(JobSpec, content)
        if not asked:
            return site.to(f"/jobs/{submit(database, settings, caller, spec).id}")
        spec = checked(spec, database, caller)
        estimate = estimated(database, settings, caller, spec)
        again = spec_form(text, content, spec, tasks, problem=_misfit(estimate), cost=in_a_sentence(estimate))
        return site.page("new_job.html", form=again, help=field_help())
    except (ProblemError, TooManyJobs) as error:
        problem = problem_of(request, error)
        typed = form if content is None else None
        shown = _base(form) if content is None else content
        again = spec_form(text, shown, _sound(database, caller, shown), tasks, typed=typed, problem=problem)
        return site.page("new_job.html", 200 if asked else problem.status, form=again, help=field_help())


def first_form(
    database: Database, settings: ServiceSettings, caller: Caller, datasets: Sequence[Dataset], dataset: Dataset | None
) -> SpecForm:
    """The form as it begins, on a data set where one is given."""
    spec, text = example(dataset), example_text(dataset)
    return spec_form(text, json.loads(text), spec, _tasks(datasets), cost=cost_of(database, settings, caller, spec))


def _tasks(datasets: Sequence[Dataset]) -> list[tuple[str, str]]:
    """(name or id, words) of every task that a job of the caller can have."""
    return [(name, name) for name in sorted(TASKS)] + [(dataset.id, dataset.name) for dataset in datasets]


def _base(form: Mapping[str, str]) -> Any:
    """The JSON that the fields of the form were made from; None in a form that has JSON alone."""
    try:
        return read(form["base"]) if "base" in form else None
    except ProblemError:
        return None


def _sound(database: Database, caller: Caller, content: Any) -> JobSpec:
    """A spec with the defaults in force around JSON that has mistakes: those of its task where there is such a task."""
    task = content.get("task") if isinstance(content, dict) else None
    try:
        return checked(validated(JobSpec, {"task": task}), database, caller)
    except ProblemError:
        return EXAMPLE


def read(text: str) -> Any:
    """The JSON of a text.

    Raises:
        ProblemError: 422, the text is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, a number of thousands of digits, brackets in brackets
        at = (
            f": {error.msg} at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise invalid([FieldError(pointer="", message=f"This is not JSON{at}", given=None)]) from error


def cost_of(database: Database, settings: ServiceSettings, caller: Caller, spec: JobSpec) -> str:
    """Sentence that says what the job would take; empty where the server would not take it."""
    try:
        return in_a_sentence(estimated(database, settings, caller, spec))
    except ProblemError:
        return ""


def in_a_sentence(estimate: Estimate) -> str:
    """Sentence that says what a job would take."""
    memory, worker = estimate.memory, estimate.measured_by
    place = (
        "a reference core, for no worker has measured its own" if worker is None else f"worker {worker.partition(':')[0]}"
    )
    return (
        f"About {number(estimate.run_equivalents, 3)} runs of the proxy and {duration(estimate.seconds)} "
        f"on {place}; "
        f"{size_in_words(memory.peak)} of memory, {size_in_words(memory.limit)} allowed; "
        f"{estimate.hyperparameters} hyperparameters, estimator {estimate.estimator}."
        + "".join(f" {note}." for note in estimate.notes)
    )


def _misfit(estimate: Estimate) -> Problem | None:
    """The changes that would make it fit, where it does not."""
    return invalid(estimate.changes).problem if estimate.changes else None


@dataclass(frozen=True)
class FieldHelp:
    """Explanation of one field: its path, what it means, what it may hold."""

    path: str
    meaning: str
    allowed: str


def example(dataset: Dataset | None = None) -> JobSpec:
    """The job that the form starts with, on a data set where one is given."""
    return EXAMPLE if dataset is None else _on(dataset)


def example_text(dataset: Dataset | None = None) -> str:
    """The spec of the job that the form starts with, as text."""
    shown = example(dataset).model_dump(mode="json", include=SHOWN, exclude_none=True)
    shown["search"] = [{name: item[name] for name in ("name", "scope")} for item in shown["search"]]
    return in_text(shown)


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
