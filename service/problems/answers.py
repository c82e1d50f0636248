"""Answers to refusals and failures: application/problem+json (RFC 9457), or a page where a page was asked for."""

import errno
import inspect
import logging
import typing
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from service.problems.problems import FieldErrors, field_errors
from service.proxying import route_of
from service.security import HEADERS
from store.errors import (
    DATABASE_ERRORS,
    DatasetInUse,
    DatasetNotFound,
    DatasetsTooLarge,
    IdempotencyConflict,
    InvalidCursor,
    JobLives,
    JobNotFound,
    KeyNotFound,
    LawFitNotFound,
    PlanNotFound,
    TooManyDatasets,
    TooManyFits,
    TooManyJobs,
    TooManyPings,
    TooManyPlans,
    WebhookNotFound,
    is_full,
)
from windtunnel.types import FieldError, Problem
from windtunnel.types.base import Request as RequestModel

log = logging.getLogger("windtunnel.service")

Model = typing.TypeVar("Model", bound=BaseModel)

PROBLEM_TYPE = "application/problem+json"

RETRY_AFTER = "2"
"""Seconds to leave a database alone that did not answer."""

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of the operating system that say that a disk, or what this user may have of it, is full."""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What was wrong with the request", "model": Problem},
    "5XX": {"description": "What went wrong on the server", "model": Problem},
}
"""Documented answers of every route, beside the good one."""


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers or {}


def problem(status: int, kind: str, title: str, detail: str, errors: Sequence[FieldError] = ()) -> ProblemError:
    """A problem to raise: status, type (a slug), title (the same for each problem of the type), what happened this time."""
    return ProblemError(Problem(type=kind, title=title, status=status, detail=detail, errors=list(errors)))


def invalid(errors: Sequence[FieldError]) -> ProblemError:
    """422 that names the bad fields: the first 20, and how many more there are."""
    told = errors if isinstance(errors, FieldErrors) else FieldErrors.of(errors, 0)
    first = f"{told[0].pointer or 'body'}: {told[0].message}"
    count = len(told) + told.untold - 1
    more = f" (and {count:,} more" + (f"; errors names the first {len(told)})" if told.untold else ")") if count else ""
    return problem(422, "invalid-request", "The request is not valid", first + more, told)


def validated(model: type[Model], content: Any) -> Model:
    """A request that was put together from a form, checked as the API checks one.

    Raises:
        ProblemError: 422 that names each bad field.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), model)) from error


def install(app: FastAPI) -> None:
    """Register the handlers of everything that a request can end in."""
    for kind, translate in TRANSLATIONS.items():
        app.add_exception_handler(kind, _handler(translate))


def problem_of(request: Request, error: Exception) -> Problem:
    """Problem that an error of TRANSLATIONS is answered with, for a page that shows it in its own way."""
    answer: ProblemError = TRANSLATIONS[type(error)](request, error)
    return answer.problem


def _handler(translate: typing.Callable[[Request, Any], ProblemError]) -> Any:
    def handle(request: Request, error: Exception) -> Response:
        answer = translate(request, error)
        headers = {**HEADERS, **answer.headers}
        if _wants_page(request):
            page: Response = request.app.state.problem_page(request, answer.problem)
            page.headers.update(headers)
            return page
        content = answer.problem.model_dump(mode="json")
        return JSONResponse(content, answer.problem.status, headers, media_type=PROBLEM_TYPE)

    return handle


def _wants_page(request: Request) -> bool:
    path = route_of(request.scope)
    if (
        path.startswith(("/v1/", "/static/"))
        or path.endswith(".json")
        or path in ("/v1", "/healthz", "/readyz", "/metrics")
    ):
        return False
    is_page = path == "/" or path.startswith(("/jobs", "/plans/", "/laws", "/datasets", "/fleet", "/keys"))
    return is_page or "text/html" in request.headers.get("accept", "")


def _raised(_: Request, error: ProblemError) -> ProblemError:
    return error


def _not_found(request: Request, error: JobNotFound | PlanNotFound | KeyNotFound | WebhookNotFound) -> ProblemError:
    what = {JobNotFound: "job", PlanNotFound: "plan", KeyNotFound: "key", WebhookNotFound: "webhook"}[type(error)]
    given = request.path_params.get(f"{what}_id", "")
    return problem(404, "not-found", "There is no such thing", f"there is no {what} '{given}'")


def _no_dataset(_: Request, error: DatasetNotFound) -> ProblemError:
    return problem(404, "not-found", "There is no such thing", error.message)


def _in_use(_: Request, error: DatasetInUse) -> ProblemError:
    return problem(409, "dataset-in-use", "The data set is in use", error.message)


def _too_many(_: Request, error: TooManyDatasets) -> ProblemError:
    return problem(409, "too-many-datasets", "There are too many data sets", error.message)


def _gone(_: Request, __: ClientDisconnect) -> ProblemError:
    """Nobody reads this answer; the log of a server that works holds no error for it."""
    return problem(400, "bad-request", "The request cannot be read", "the sender has gone before the request was whole")


def _no_such_fit(_: Request, error: LawFitNotFound) -> ProblemError:
    return problem(404, "not-found", "There is no such thing", f"there is no fit '{error.fit_id}'")


def _conflict(request: Request, _: IdempotencyConflict) -> ProblemError:
    key = request.headers.get("idempotency-key", "")
    return problem(
        422,
        "idempotency-conflict",
        "The idempotency key was used for another request",
        f"Idempotency-Key {key!r} belongs to a job with another spec; send a new key for a new job",
        [FieldError(pointer="/Idempotency-Key", message="was used with another spec", given=key)],
    )


def _lives(_: Request, error: JobLives) -> ProblemError:
    return problem(409, "job-not-ended", "The job has not ended", error.message)


def _pings(_: Request, error: TooManyPings) -> ProblemError:
    refusal = problem(429, "too-many-at-once", "Too many at the same time", error.message)
    refusal.headers = {"retry-after": RETRY_AFTER}
    return refusal


def _quota(_: Request, error: TooManyJobs | DatasetsTooLarge | TooManyPlans | TooManyFits) -> ProblemError:
    return problem(403, "quota", "You have as many as you may have", error.message)


def _bad_cursor(request: Request, _: InvalidCursor) -> ProblemError:
    given = request.query_params.get("cursor")
    message = "cursor is not one that this server gave; take next_cursor of a page, or leave it out for the first page"
    return invalid([FieldError(pointer="/cursor", message=message, given=given)])


def _validation(request: Request, error: RequestValidationError) -> ProblemError:
    errors = error.errors()
    if errors[0]["type"] == "json_invalid":
        text, position = str(error.body), int(errors[0]["loc"][-1])
        line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
        reason = errors[0]["ctx"]["error"]
        detail = f"the body is not JSON: {reason} at line {line}, column {column}"
        return problem(400, "malformed-json", "The body is not JSON", detail)
    models = request_models(request.scope["endpoint"])
    found: list[FieldError] = []
    untold = 0
    for source in dict.fromkeys(entry["loc"][0] for entry in errors):
        own = [{**entry, "loc": entry["loc"][1:]} for entry in errors if entry["loc"][0] == source]
        of_source = field_errors(own, models.get(str(source)))
        found += of_source
        untold += of_source.untold
    return invalid(FieldErrors.of(found, untold))


def request_models(endpoint: Any) -> dict[str, type[BaseModel]]:
    """Request models of an endpoint by where they are read from: ``body`` or ``query``."""
    models: dict[str, type[BaseModel]] = {}
    for parameter in inspect.signature(endpoint).parameters.values():
        annotation, *markers = typing.get_args(parameter.annotation) or (parameter.annotation,)
        if isinstance(annotation, type) and issubclass(annotation, RequestModel):
            models["query" if markers else "body"] = annotation
    return models


def _http(request: Request, error: HTTPException) -> ProblemError:
    path = request.url.path
    match error.status_code:
        case 404:
            answer = problem(404, "not-found", "There is no such thing", f"there is nothing at {path}")
        case 405:
            allowed = _methods(request)
            detail = f"{request.method} is not allowed at {path}; allowed: {allowed}"
            answer = problem(405, "method-not-allowed", "The method is not allowed here", detail)
            answer.headers = {"allow": allowed}
        case 413:
            answer = problem(413, "too-large", "The body is too large", error.detail)
        case 400 if isinstance(error.__cause__, RecursionError | ValueError):
            answer = unreadable(error.__cause__)
        case status:
            answer = problem(status, "bad-request", "The request cannot be read", error.detail)
    return answer


def unreadable(error: Exception) -> ProblemError:
    """Problem for a body that Python's reader of JSON gives up on: brackets in brackets, or a number too long for it."""
    if isinstance(error, UnicodeDecodeError):
        detail = f"the body is no UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
    elif isinstance(error, RecursionError):
        detail = "the body is nested too deeply; nothing that can be sent here has more than ten levels"
    else:
        detail = "the body has a number of thousands of digits; allowed: numbers that double precision holds"
    return problem(400, "malformed-json", "The body is not JSON", detail)


def _methods(request: Request) -> str:
    """Methods of every route at the request's path; the router names those of the first one only."""
    here = [route for route in iter_route_contexts(request.app.routes) if route.path_regex.match(route_of(request.scope))]
    return ", ".join(sorted({method for route in here for method in route.methods or ()}))


def _away(request: Request, error: Exception) -> ProblemError:
    if is_full(error):
        return no_space(request, error)
    log.warning("%s %s: the database does not answer: %s", request.method, request.url.path, error)
    detail = "the database does not answer; the server's log says why. Send the request again in a moment"
    answer = problem(503, "database-away", "The database does not answer", detail)
    answer.headers = {"retry-after": RETRY_AFTER}
    return answer


def no_space(request: Request, error: Exception) -> ProblemError:
    """Problem 507 for a request that found no room on the server's disk."""
    log.error("%s %s: the disk is full: %s", request.method, request.url.path, error)
    detail = "the server's disk is full, and nothing of this request was kept; its operator has to make room"
    return problem(507, "disk-full", "The server has no room left", detail)


def _unwritten(request: Request, error: OSError) -> ProblemError:
    if error.errno not in NO_SPACE:
        raise error
    return no_space(request, error)


def _failed(request: Request, error: Exception) -> ProblemError:
    log.error("%s %s failed: %s", request.method, request.url.path, error)
    detail = "the server failed on this request; its log says where. The request may be sent again"
    return problem(500, "internal-error", "The server failed", detail)


TRANSLATIONS: dict[type[Exception], Any] = {
    ProblemError: _raised,
    RequestValidationError: _validation,
    HTTPException: _http,
    JobNotFound: _not_found,
    PlanNotFound: _not_found,
    KeyNotFound: _not_found,
    WebhookNotFound: _not_found,
    DatasetNotFound: _no_dataset,
    DatasetInUse: _in_use,
    TooManyDatasets: _too_many,
    DatasetsTooLarge: _quota,
    ClientDisconnect: _gone,
    LawFitNotFound: _no_such_fit,
    IdempotencyConflict: _conflict,
    TooManyJobs: _quota,
    TooManyPlans: _quota,
    TooManyFits: _quota,
    TooManyPings: _pings,
    JobLives: _lives,
    InvalidCursor: _bad_cursor,
    **dict.fromkeys(DATABASE_ERRORS, _away),
    OSError: _unwritten,
    Exception: _failed,
}
"""Error that a request can end in -> the problem that it is answered with."""
