"""A job made from another one's spec: RFC 7396 merge of what is to differ, checked as any spec that comes in; and, where it
is asked for, begun at the other one's best hyperparameters."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from hpo.families.facts.registry import proxy_tensors
from hpo.mup.labels import labels
from service.jobs.admission import absence
from service.problems.answers import invalid, problem
from service.problems.problems import field_errors
from windtunnel.types import FieldError, JobSpec
from windtunnel.types.base import Request

EXAMPLE: dict[str, JsonValue] = {"name": "wider", "model": {"width": 128}, "seed": 1}

ROUNDING = 1e-9
"""Relative distance that a value may lie beyond the end of its range: it has been through a logarithm and back."""


class ForkRequest(Request):
    """Differences of the new job from its parent."""

    overrides: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Fields of a JobSpec; objects are merged with the parent's, null goes back to the default. A schedule "
        "of another name takes nothing from the parent's.",
        examples=[EXAMPLE],
    )
    from_best: bool = Field(
        False,
        description="Start at the parent's best hyperparameters: they become `initial` of the new spec, and what "
        "`overrides` says of `initial` goes before them. The parent must have a result.",
    )


def forked(parent: JobSpec, wanted: ForkRequest) -> JobSpec:
    """The spec of the new job, before it is begun at the parent's best.

    Raises:
        ProblemError: 422, an override does not fit; pointers are into the body of the request.
    """
    spec, overrides = parent.model_dump(mode="json"), wanted.overrides
    if wanted.from_best:  # where the parent began is of no interest any more
        spec["initial"] = {}
    schedule = overrides.get("schedule")
    if isinstance(schedule, dict) and schedule.get("name", parent.schedule.name) != parent.schedule.name:
        spec["schedule"] = {}
    try:
        return JobSpec.model_validate(merged(spec, overrides))
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), JobSpec).below("/overrides")) from error


def begun_at(spec: JobSpec, best: Mapping[str, float]) -> JobSpec:
    """The spec with the parent's best hyperparameters as its starts; those that it has of its own stay.

    Args:
        spec: of the new job, its data set known.
        best: of the parent's result, by label.

    Raises:
        ProblemError: 422 `fork-refused`, the new job does not search one of them, or not there.
    """
    if absence(spec):  # refused where every spec is checked
        return spec
    known = labels(spec, proxy_tensors(spec.model, spec.info))
    ranges: dict[str, tuple[float, float]] = {item.name: item.range for item in spec.search}
    starts: dict[str, float] = {}
    errors: list[FieldError] = []
    for label, value in best.items():
        if label in spec.initial:
            continue
        if label not in known:
            why = "which the new job does not search; leave the search, the model and the schedule as they are"
            errors.append(FieldError(pointer="/from_best", message=f"the parent's best has {label}, {why}", given=label))
            continue
        low, high = ranges[label.partition(".")[0]]
        starts[label] = min(max(value, low), high)
        if abs(starts[label] - value) > ROUNDING * value:
            why = f"outside the search range {low:g} to {high:g} of the new job; widen the range"
            message = f"the parent's best {label} is {value:g}, {why}"
            errors.append(FieldError(pointer="/from_best", message=message, given=value))
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        detail = f"{errors[0].message}{more}; or give `overrides.initial` a value for it, or leave from_best out"
        raise problem(422, "fork-refused", "The new job cannot start from the parent's best", detail, errors)
    return spec.model_copy(update={"initial": {**starts, **spec.initial}})


def merged(into: Any, patch: Any) -> Any:
    """The target ``into`` with a JSON merge patch applied (RFC 7396, section 2)."""
    if not isinstance(patch, dict):
        return patch
    base = into if isinstance(into, dict) else {}
    kept = {name: value for name, value in base.items() if name not in patch}
    return kept | {name: merged(base.get(name), value) for name, value in patch.items() if value is not None}
