"""Reads the server's answers: typed models, and exceptions for refusals and broken connections."""

from typing import Generic, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from windtunnel.client._errors import ApiError, ConnectionFailed, UnexpectedAnswer, api_error
from windtunnel.client._pacing import Pacing
from windtunnel.client._requests import TRY_LATER
from windtunnel.types import Problem
from windtunnel.types.base import Response

M = TypeVar("M", bound=BaseModel)


class Items(Response, Generic[M]):
    """A list in an answer: ``{"items": [...]}``."""

    items: list[M]


class Page(Items[M]):
    """One page of a list: ``{"items": [...], "next_cursor": ...}``."""

    next_cursor: str | None


def parse(model: type[M], response: httpx.Response) -> M:
    """The answer's JSON as a typed model.

    Raises:
        UnexpectedAnswer: the answer does not fit the model.
    """
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "/".join(str(part) for part in first["loc"]) or "the body"
        raise UnexpectedAnswer(named(response.request), f"{where}: {first['msg']}") from error


def failure(response: httpx.Response, pacing: Pacing) -> ApiError:
    """The exception for an answer that is not a success. The answer's body must have been read.

    Raises:
        UnexpectedAnswer: the API never answers with this status.
    """
    if response.is_redirect or response.is_informational:
        raise UnexpectedAnswer(named(response.request), f"status {response.status_code}")
    retry_after = pacing.retry_after(response.headers.get("retry-after"))
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        # Not from our service: a proxy in between, or another program on that port.
        problem = Problem(
            type="about:blank",
            title=response.reason_phrase,
            status=response.status_code,
            detail=f"{named(response.request)} was answered with {response.status_code} "
            f"{response.reason_phrase}: {response.text[:200]!r}",
        )
    return api_error(problem, retry_after)


def is_away(error: ConnectionFailed | ApiError) -> bool:
    """True if the server is only away for now, such as while it restarts."""
    return isinstance(error, ConnectionFailed) or error.status in TRY_LATER


def reason(error: httpx.RequestError, request: httpx.Request) -> str:
    """Why a request got no answer, for a message: timeout, refused or broken connection."""
    if isinstance(error, httpx.TimeoutException):
        seconds = request.extensions["timeout"]["connect" if isinstance(error, httpx.ConnectTimeout) else "read"]
        return f"{named(request)} got no answer within {seconds:g} s"
    if isinstance(error, httpx.ConnectError):
        return str(error) or "connection refused"
    return f"the connection broke during {named(request)} ({str(error) or type(error).__name__})"


def named(request: httpx.Request) -> str:
    """Method and URL of a request, for a message."""
    return f"{request.method} {request.url}"
