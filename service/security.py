"""Guards the server: without keys it answers this machine only; no other site's page writes here; no page can be framed."""

import re
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.proxying import route_of
from service.settings import is_loopback
from store.errors import DATABASE_ERRORS
from windtunnel.types import Problem

MAX_BODY_BYTES = 1 << 20
TABLES = "/v1/laws/fits"
"""Path that takes tables of runs: larger, and as CSV too. A page of another site cannot send that without asking first."""
TABLE_FORM = "/laws"
"""Path to which a form brings a table of runs."""
MAX_TABLE_BYTES = 16 << 20

FORMS = re.compile(
    r"/sign-in|/sign-out|/jobs|/jobs/[^/]+/(cancel|pause|resume|delete|fork|plans|labels)|/plans|/laws"
    r"|/(laws|plans)/[^/]+/delete|/fleet/drain|/keys|/keys/[^/]+/revoke|/webhooks|/webhooks/[^/]+/(ping|delete)"
)
"""Paths of plain forms. Another site's page can send one without asking first: only `_foreign` keeps it out."""
FORM_BYTES = 1 << 16
"""Bytes that a form with a file has beside the file, at most."""
UPLOADS = frozenset({"/v1/datasets", "/datasets"})
"""Paths to which a form brings a file."""
JSON, CSV = "application/json", "text/csv"
FORM, UPLOAD = "application/x-www-form-urlencoded", "multipart/form-data"

HEADERS = {
    # plotly writes style attributes; scripts come from this server only.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Headers of every answer."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware: checks Host (DNS rebinding), origin and content type of writes, and size; adds the headers.

    Args:
        app: what is guarded.
        allowed_hosts: names of this server beside the loopback ones.
        needs_keys: does it answer nobody without a key? Then it may be asked under any name: a page elsewhere that takes
            a name of its own for this server has no key, and a browser sends it no cookie of another name.
        upload_bytes: of a file that a form brings.
    """

    def __init__(
        self, app: ASGIApp, allowed_hosts: Collection[str], needs_keys: Callable[[], bool], upload_bytes: int
    ) -> None:
        self.app = app
        self.needs_keys = needs_keys
        self.allowed_hosts = frozenset(allowed_hosts)
        self.upload_bytes = upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a problem, or let the request through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = await self._refusal(scope["method"], route_of(scope), Headers(scope=scope))
        if refused is not None:
            content = refused.model_dump(mode="json")
            answer = JSONResponse(content, refused.status, HEADERS, media_type="application/problem+json")
            await answer(scope, receive, send)
            return
        # HEAD is GET without the body, which the server leaves out by itself.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        await self.app(inner, _limited(receive, self._most(route_of(scope))), _with_headers(send))

    def _most(self, path: str) -> int:
        """Most bytes of a body that is sent to this path."""
        if path in UPLOADS:
            return self.upload_bytes + FORM_BYTES
        return MAX_TABLE_BYTES if path in (TABLES, TABLE_FORM) else MAX_BODY_BYTES

    async def _refusal(self, method: str, path: str, headers: Headers) -> Problem | None:
        host = headers.get("host", "")
        name = hostname(host)
        known = is_loopback(name) or name in self.allowed_hosts
        if not known and not await run_in_threadpool(self._keyed):
            return Problem(
                type="wrong-host",
                title="This server does not answer under that name",
                status=421,
                detail=f"Host is '{host}'; allowed: localhost, 127.0.0.1, [::1] and the names in WINDTUNNEL_ALLOWED_HOSTS; "
                "any name once an API key was made",
            )
        if method in SAFE_METHODS:
            return None
        return (
            _foreign(headers, host)
            or _wrong_content(headers, _content(path))
            or _declared_too_large(headers, self._most(path))
        )

    def _keyed(self) -> bool:
        try:
            return self.needs_keys()
        except DATABASE_ERRORS:  # nobody can tell: take the careful answer
            return False


def _content(path: str) -> tuple[str, ...]:
    """The media types of what is written there."""
    if path in UPLOADS or path.startswith("/datasets/"):
        return (UPLOAD,)
    if path == TABLES:
        return (JSON, CSV)
    return (FORM,) if FORMS.fullmatch(path) else (JSON,)


def hostname(host: str) -> str:
    """The name in a Host header, without port and brackets; empty where there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _foreign(headers: Headers, host: str) -> Problem | None:
    """A browser says which page sends a write; only this server's own pages may."""
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site")
    # Browsers say it themselves where the page came over TLS or from this machine. Behind a proxy it is the better word:
    # Host may be the name that the proxy has for this server. Scripts can set neither header.
    own = site in ("none", "same-origin") if site is not None else origin is None or _netloc(origin) == host.lower()
    if own:
        return None
    page = "another site's page" if origin is None else f"a page of '{origin}'"
    return Problem(
        type="foreign-origin",
        title="Another site may not write here",
        status=403,
        detail=f"the request comes from {page}; allowed: pages of '{host}', and programs that send no Origin",
    )


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # http://[
        return ""


def _wrong_content(headers: Headers, allowed: Collection[str]) -> Problem | None:
    given = headers.get("content-type")
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if given is None and not has_body:
        return None
    if given is not None and given.partition(";")[0].strip().lower() in allowed:
        return None
    return Problem(
        type="unsupported-media-type",
        title="The body is of the wrong kind",
        status=415,
        detail=f"Content-Type is {given or 'not given'}; allowed: {', '.join(allowed)}",
    )


def _too_large(given: str, most: int) -> str:
    return f"the body has {given} bytes; allowed: {most:,}"


def _declared_too_large(headers: Headers, most: int) -> Problem | None:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) <= most:
        return None
    detail = _too_large(f"{int(length):,}", most)
    return Problem(type="too-large", title="The body is too large", status=413, detail=detail)


def _limited(receive: Receive, most: int) -> Receive:
    """Count what comes in: a chunked body declares no length."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(413, _too_large(f"more than {most:,}", most))
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sent
