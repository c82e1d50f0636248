"""Turns a job's spec, given whole or by its fields, into the JSON of a request."""

from collections.abc import Mapping
from typing import Any

from windtunnel.client._errors import InvalidRequest
from windtunnel.types import Dataset, JobSpec


def request_body(spec: JobSpec | Mapping[str, Any] | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The spec as JSON.

    Raises:
        InvalidRequest: both a spec and fields are given.
    """
    if spec is not None and fields:
        raise InvalidRequest(f"give a spec or fields by name, not both; got a spec and {', '.join(sorted(fields))}")
    if isinstance(spec, JobSpec):
        # What was left out stays out, so that the server's defaults hold; but the name of the schedule
        # is how the server knows which kind it is.
        body = spec.model_dump(mode="json", exclude_unset=True)
        if "schedule" in body:
            body["schedule"]["name"] = spec.schedule.name
        return body
    return plain(fields if spec is None else spec)


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a spec as JSON; models inside them (``target=Target(width=1024)``) and data sets are converted."""
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    match value:
        case Dataset():  # a job names it by its id
            return value.id
        case Mapping():
            return plain(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case _ if hasattr(value, "model_dump"):
            name = {"name": value.name} if hasattr(value, "name") else {}
            return value.model_dump(mode="json", exclude_unset=True) | name
        case _:
            return value
