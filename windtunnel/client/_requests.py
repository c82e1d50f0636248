"""Builds requests: addresses, bodies and keys, and which errors allow a second try."""

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from windtunnel import __version__
from windtunnel.client._errors import InvalidRequest

DEFAULT_URL = "http://127.0.0.1:8000"
TRY_LATER = frozenset({429, 502, 503, 504})
"""Statuses of a server that cannot answer now but soon may."""
READING = 600.0
"""Seconds to wait for the server to read an uploaded file, queued uploads before it included."""
STREAM_SILENCE = 60.0
"""Seconds without a byte after which a stream counts as lost; the server sends keep-alives far more often."""


@dataclass(frozen=True)
class Repeatable:
    """Statuses and errors after which a request may be sent again."""

    statuses: frozenset[int]
    errors: tuple[type[httpx.RequestError], ...]


HARMLESS = Repeatable(TRY_LATER, (httpx.TransportError,))
"""Retries of a request that does no harm when it arrives twice."""
NOT_BEGUN = Repeatable(frozenset({429, 503}), (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
"""Retries of a request that must not arrive twice: the server was not reached, or it refused for now."""


def address_of(base_url: str | None) -> str:
    """The server's address: the one given, else ``WINDTUNNEL_URL``, else this machine's."""
    return base_url or os.environ.get("WINDTUNNEL_URL") or DEFAULT_URL


def key_of(api_key: str | None) -> str | None:
    """The API key: the one given, else ``WINDTUNNEL_API_KEY``; None if that is empty."""
    return (os.environ.get("WINDTUNNEL_API_KEY") if api_key is None else api_key) or None


def path(*segments: str) -> str:
    """Path ``/v1/...`` of its parts, each quoted.

    Raises:
        InvalidRequest: a part is empty.
    """
    if not all(segments):
        raise InvalidRequest(f"an id is empty in /v1/{'/'.join(segments)}; give the id of a job or plan")
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def json_bytes(body: Any) -> bytes:
    """The body of a request as JSON.

    Raises:
        InvalidRequest: the body holds something that JSON cannot.
    """
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"the request cannot be written as JSON: {error}. Allowed: finite numbers, strings, true, false, null, "
            "lists, and mappings with string keys."
        ) from error


def headers(api_key: str | None) -> dict[str, str]:
    """Headers of every request: user agent, accepted type and API key.

    Raises:
        InvalidRequest: the key has characters that no key has.
    """
    said = {"User-Agent": f"windtunnel/{__version__}", "Accept": "application/json"}
    if api_key is None:
        return said
    if not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise InvalidRequest("the API key has spaces or other characters that no key has; see WINDTUNNEL_API_KEY")
    return said | {"Authorization": f"Bearer {api_key}"}


def may_use_proxy(base_url: str) -> bool:
    """True unless the address is this machine's own loopback, which no proxy can reach.

    Raises:
        InvalidRequest: the address is not an http or https URL.
    """
    host = _host(base_url)
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def query(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Options as query parameters: a list is repeated, a flag is true or false, None is left out."""
    found: list[tuple[str, str]] = []
    for name, value in options.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None:
                found.append((name, str(each).lower() if isinstance(each, bool) else str(each)))
    return found


def _host(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise InvalidRequest(f"server address {base_url!r} is no URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidRequest(f"server address {base_url!r} is no http address; expected one like http://127.0.0.1:8000")
    return url.host
