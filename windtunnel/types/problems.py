"""Errors on the wire: application/problem+json (RFC 9457), one shape, a pointer for each bad field."""

from collections.abc import Iterable
from typing import Any

from windtunnel.types.base import Response


class FieldError(Response):
    """One bad field."""

    pointer: str
    """JSON pointer into the request body (RFC 6901), such as ``/model/width``."""
    message: str
    given: Any = None


class Problem(Response):
    """An error: what went wrong, and what to do."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


def json_pointer(location: Iterable[str | int]) -> str:
    """Location of a pydantic error as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
