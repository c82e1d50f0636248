"""A job made from another one's spec: RFC 7396 merge of what is to differ, checked as any spec that comes in."""

from typing import Any

from pydantic import Field, JsonValue, ValidationError

from service.answers import invalid
from service.problems import field_errors
from windtunnel.types import JobSpec
from windtunnel.types.base import Request

EXAMPLE: dict[str, JsonValue] = {"name": "wider", "model": {"width": 128}, "seed": 1}


class ForkRequest(Request):
    """What is to differ from the parent."""

    overrides: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Fields of a JobSpec; objects are merged with the parent's, null goes back to the default. A schedule "
        "of another name takes nothing from the parent's.",
        examples=[EXAMPLE],
    )


def forked(parent: JobSpec, overrides: dict[str, JsonValue]) -> JobSpec:
    """The spec of the new job.

    Raises:
        ProblemError: 422, an override does not fit; pointers are into the body of the request.
    """
    spec = parent.model_dump(mode="json")
    schedule = overrides.get("schedule")
    if isinstance(schedule, dict) and schedule.get("name", parent.schedule.name) != parent.schedule.name:
        spec["schedule"] = {}
    try:
        return JobSpec.model_validate(merged(spec, overrides))
    except ValidationError as error:
        found = field_errors(error.errors(), JobSpec)
        raise invalid([entry.model_copy(update={"pointer": f"/overrides{entry.pointer}"}) for entry in found]) from error


def merged(into: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    base = into if isinstance(into, dict) else {}
    kept = {name: value for name, value in base.items() if name not in patch}
    return kept | {name: merged(base.get(name), value) for name, value in patch.items() if value is not None}
