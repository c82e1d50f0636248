"""The one place that talks HTTP: addresses, retries, and the translation of failures into exceptions."""

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from windtunnel import __version__
from windtunnel.client._errors import ApiError, ConnectionFailed, InvalidRequest, UnexpectedAnswer, api_error
from windtunnel.client._pacing import Pacing
from windtunnel.types import Problem
from windtunnel.types.base import Response

M = TypeVar("M", bound=BaseModel)


class Items(Response, Generic[M]):
    """A plain list on the wire."""

    items: list[M]


TRY_LATER = frozenset({429, 502, 503, 504})
"""Statuses of a server that cannot answer now but soon may."""
READING = 600.0
"""Seconds that a server may take to read an uploaded file, and those before it."""
STREAM_SILENCE = 60.0
"""Seconds without a byte after which a stream counts as lost; the server sends keep-alives far more often."""


@dataclass(frozen=True)
class _Repeatable:
    """What may be tried again without doing something twice."""

    statuses: frozenset[int]
    errors: tuple[type[httpx.RequestError], ...]


_HARMLESS = _Repeatable(TRY_LATER, (httpx.TransportError,))
# Only where the server has surely not begun: it was not reached, or it said that it refuses for now.
_NOT_BEGUN = _Repeatable(frozenset({429, 503}), (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))


class Transport:
    """Requests to one server.

    Args:
        base_url: such as ``http://127.0.0.1:8000``.
        timeout: seconds to wait for a connection, and for each part of an answer.
        pacing: retries and their clocks.
        api_key: sent with every request.

    Raises:
        InvalidRequest: ``base_url`` is no http or https address, or the key has characters that no key has.
    """

    def __init__(self, base_url: str, timeout: float, pacing: Pacing, api_key: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.pacing = pacing
        self._http = httpx.Client(
            timeout=timeout,
            headers={"User-Agent": f"windtunnel/{__version__}", "Accept": "application/json", **_authorization(api_key)},
            # A proxy from the environment cannot reach this machine's own loopback address.
            trust_env=not _is_loopback(_host(self.base_url)),
        )

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> httpx.Response:
        """Read."""
        return self._exchange(self._request("GET", path, params=params), _HARMLESS)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Write something that does no harm when it arrives twice (idempotent, or with an idempotency key)."""
        return self._exchange(self._request("POST", path, body=body, headers=headers), _HARMLESS)

    def post_once(self, path: str, body: Any) -> httpx.Response:
        """Write something that must not arrive twice: tried again only where it has surely not arrived."""
        return self._exchange(self._request("POST", path, body=body), _NOT_BEGUN)

    def upload(self, path: str, file: BinaryIO, name: str, fields: Mapping[str, str]) -> httpx.Response:
        """Send a file as a form, streamed; it does no harm when it arrives twice."""
        address = self.base_url + path
        request = self._http.build_request("POST", address, data=dict(fields), files={"file": (name, file)})
        request.extensions["timeout"]["read"] = max(self.timeout, READING)
        return self._exchange(request, _HARMLESS)

    def delete(self, path: str) -> httpx.Response:
        """Take something away; tried again only where the first try did not arrive, for a second finds nothing."""
        return self._exchange(self._request("DELETE", path), _NOT_BEGUN)

    def post_text(
        self, path: str, text: str, media: str, params: Sequence[tuple[str, str]], *, timeout: float
    ) -> httpx.Response:
        """Send text of a media type, once, and wait so long for each part of the answer."""
        request = self._http.build_request(
            "POST", self.base_url + path, params=list(params), content=text.encode(), headers={"Content-Type": media}
        )
        request.extensions["timeout"]["read"] = max(self.timeout, timeout)
        return self._exchange(request, _NOT_BEGUN)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """The bytes of an answer as they come.

        Raises:
            ConnectionFailed: on entering or while reading: the connection broke or fell silent.
        """
        request = self._request("GET", path, headers=headers)
        request.extensions["timeout"]["read"] = max(self.timeout, STREAM_SILENCE)
        response = self._exchange(request, _HARMLESS, stream=True)
        try:
            yield response.iter_bytes()
        except httpx.RequestError as error:
            raise ConnectionFailed(self.base_url, _reason(error, request)) from error
        finally:
            response.close()

    def parse(self, model: type[M], response: httpx.Response) -> M:
        """The answer as a typed model.

        Raises:
            UnexpectedAnswer: it is none.
        """
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise _not_understood(response, error) from error

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        sent = dict(headers or {})
        content = None
        if method == "POST":
            content = _json_bytes(body)
            sent["Content-Type"] = "application/json"
        return self._http.build_request(method, self.base_url + path, params=params, content=content, headers=sent)

    def _exchange(self, request: httpx.Request, repeatable: _Repeatable, *, stream: bool = False) -> httpx.Response:
        attempt = 0
        while True:
            last = attempt >= self.pacing.retries
            try:
                response = self._http.send(request, stream=stream)
                if response.is_success:
                    return response
                response.read()
            except httpx.RequestError as error:
                if last or not isinstance(error, repeatable.errors):
                    raise ConnectionFailed(self.base_url, _reason(error, request)) from error
                delay = self.pacing.delay(attempt)
            else:
                failure = self._failure(response)
                delay = self.pacing.delay(attempt) if failure.retry_after is None else failure.retry_after
                if last or failure.status not in repeatable.statuses or delay > self.pacing.longest_retry_after:
                    raise failure
            self.pacing.sleep(delay)
            attempt += 1

    def _failure(self, response: httpx.Response) -> ApiError:
        response.close()
        if response.is_redirect or response.is_informational:
            raise UnexpectedAnswer(_named(response.request), f"status {response.status_code}")
        retry_after = self.pacing.retry_after(response.headers.get("retry-after"))
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            # Not from our service: a proxy in between, or another program on that port.
            problem = Problem(
                type="about:blank",
                title=response.reason_phrase,
                status=response.status_code,
                detail=f"{_named(response.request)} was answered with {response.status_code} "
                f"{response.reason_phrase}: {response.text[:200]!r}",
            )
        return api_error(problem, retry_after)


def is_away(error: ConnectionFailed | ApiError) -> bool:
    """Is the server only away for now, such as while it restarts?"""
    return isinstance(error, ConnectionFailed) or error.status in TRY_LATER


def path(*segments: str) -> str:
    """``/v1/...`` from its parts, each quoted.

    Raises:
        InvalidRequest: a part is empty.
    """
    if not all(segments):
        raise InvalidRequest(f"an id is empty in /v1/{'/'.join(segments)}; give the id of a job or plan")
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def _json_bytes(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"the request cannot be written as JSON: {error}. Allowed: finite numbers, strings, true, false, null, "
            "lists, and mappings with string keys."
        ) from error


def _host(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise InvalidRequest(f"server address {base_url!r} is no URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidRequest(f"server address {base_url!r} is no http address; expected one like http://127.0.0.1:8000")
    return url.host


def _authorization(api_key: str | None) -> dict[str, str]:
    if api_key is None:
        return {}
    if not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise InvalidRequest("the API key has spaces or other characters that no key has; see WINDTUNNEL_API_KEY")
    return {"Authorization": f"Bearer {api_key}"}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: httpx.RequestError, request: httpx.Request) -> str:
    if isinstance(error, httpx.TimeoutException):
        seconds = request.extensions["timeout"]["connect" if isinstance(error, httpx.ConnectTimeout) else "read"]
        return f"{_named(request)} got no answer within {seconds:g} s"
    if isinstance(error, httpx.ConnectError):
        return str(error) or "connection refused"
    return f"the connection broke during {_named(request)} ({str(error) or type(error).__name__})"


def _named(request: httpx.Request) -> str:
    return f"{request.method} {request.url}"


def _not_understood(response: httpx.Response, error: ValidationError) -> UnexpectedAnswer:
    first = error.errors(include_url=False)[0]
    where = "/".join(str(part) for part in first["loc"]) or "the body"
    return UnexpectedAnswer(_named(response.request), f"{where}: {first['msg']}")
