"""The server behind a proxy: the path under which browsers find it there, and the scheme by which they came.

A proxy that serves the server at ``https://host/tunnel/`` may take ``/tunnel`` off a path before it passes the request
on, or leave it there. The prefix is told by the setting ``root_path``, else by ``X-Forwarded-Prefix`` of a proxy that is
trusted. Further in, the scope is as ASGI wants it: ``root_path`` is the prefix, and ``path`` begins with it. ``route_of``
gives the path without it, ``address`` puts it before one.
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.settings import Network, prefix_of
from windtunnel.types import Problem


def address(request: Request, path: str) -> str:
    """A path of this server as the sender of the request reaches it: the prefix, then the path."""
    return f"{request.scope.get('root_path', '')}{path}"


def route_of(scope: Scope) -> str:
    """The path of a request without the prefix: that of the route that answers it."""
    path: str = scope["path"]
    return path[len(scope.get("root_path", "")) :]


class Proxied:
    """ASGI middleware that reads the words of trusted proxies, and puts the prefix where ASGI wants it.

    Args:
        app: the application.
        root_path: the prefix by the settings; ``X-Forwarded-Prefix`` is not read where there is one.
        proxies: networks of the proxies whose ``X-Forwarded-*`` are believed.
        own: first segments of the server's own paths. Under a prefix that begins with one of them, a proxy must take the
            prefix off: ``/jobs/x`` is then a path of the server, not the path ``/x`` under ``/jobs``.
        headers: headers of a refusal.
    """

    def __init__(
        self, app: ASGIApp, root_path: str, proxies: Collection[Network], own: Collection[str], headers: Mapping[str, str]
    ) -> None:
        self.app = app
        self.root_path = root_path
        self.proxies = proxies
        self.own = own
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400 where a trusted proxy names a prefix that is none; else pass the request on with it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, scheme = Headers(scope=scope), scope["scheme"]
        prefix = self.root_path
        if self._trusted(scope):
            told = headers.get("x-forwarded-proto", "").strip()
            scheme = told if told in ("http", "https") else scheme
            try:  # one proxy behind another each name theirs, the outer one first
                prefix = self.root_path or "".join(
                    prefix_of(part.strip()) for part in ",".join(headers.getlist("x-forwarded-prefix")).split(",")
                )
            except ValueError as error:
                await _wrong_prefix(error, self.headers)(scope, receive, send)
                return
        placed = {**scope, **self._placed(scope, prefix), "scheme": scheme}
        await self.app(placed, receive, _with_plain_redirects(send, headers.get("host", "")))

    def _trusted(self, scope: Scope) -> bool:
        """True where the request comes from one of the proxies."""
        try:
            peer = ipaddress.ip_address((scope.get("client") or ("",))[0])
        except ValueError:  # not over a network
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self.proxies)

    def _placed(self, scope: Scope, prefix: str) -> Scope:
        if not prefix:
            return {}
        path = scope["path"]
        whole = (path == prefix or path.startswith(f"{prefix}/")) and prefix.split("/")[1] not in self.own
        added = "" if whole else prefix
        path = f"{added}{path}"
        raw = added.encode() + (scope.get("raw_path") or scope["path"].encode())
        return {"root_path": prefix, "path": path if path != prefix else f"{prefix}/", "raw_path": raw}


def _wrong_prefix(error: ValueError, headers: Mapping[str, str]) -> JSONResponse:
    problem = Problem(
        type="wrong-prefix",
        title="The proxy names a path that is none",
        status=400,
        detail=f"X-Forwarded-Prefix: {error}",
    )
    return JSONResponse(problem.model_dump(mode="json"), 400, headers, media_type="application/problem+json")


def _with_plain_redirects(send: Send, host: str) -> Send:
    """Leave scheme and host out of the router's own redirects: behind a proxy, browsers know the server under others."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and 300 <= message["status"] < 400:
            headers = MutableHeaders(scope=message)
            parts = urlsplit(headers.get("location", ""))
            if parts.netloc and parts.netloc == host:
                headers["location"] = parts._replace(scheme="", netloc="").geturl()
        await send(message)

    return sent
