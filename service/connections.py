"""Connections that do not hold the server up: a request must be whole in time, and there are only so many connections."""

import asyncio
import logging
import resource
import time
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger("windtunnel.service")

SLOWEST = 8 * 1024
"""Bytes a second of a body, at least, once its first seconds are over."""

TOLD_EVERY = 10.0
"""Seconds between two lines in the log about connections that are refused: a flood is no reason to fill a disk."""

SPARE_FILES = 64
"""Files that the server keeps for its database, its uploads and its own, whatever its connections take."""

TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 32\r\n\r\nthe request did not come in time"
)
TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 2\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 31\r\n\r\nthe server has no room just now"
)


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of one server's connections."""

    connections: int
    """Connections at the same time."""
    header_seconds: float
    """Seconds in which the header of a request must be there, from the connection or from its first byte on."""
    body_seconds: float
    """Seconds that a body has; each 8 KiB of it that have come give it one more."""


def fitting(connections: int) -> int:
    """Number of connections for which the system lets this process open files; it is asked for as many as it can give."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(8, min(connections, soft - SPARE_FILES))


class Connection(H11Protocol):
    """HTTP/1.1 of uvicorn with a time-out for headers, one for bodies, and a limit that holds before a file is missing."""

    limits: ConnectionLimits
    last_told = -TOLD_EVERY

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it where there are too many."""
        self.timer: asyncio.TimerHandle | None = None
        self.body_began = 0.0
        self.body_bytes = 0
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._tell()
            transport.write(TOO_MANY)
            transport.close()
            return
        self._expect_header()

    def data_received(self, data: bytes) -> None:
        """Read on, and look what is still to come."""
        before = self.conn.their_state
        super().data_received(data)
        state = self.conn.their_state
        if self.transport.is_closing():
            self._stop()
        elif state is h11.SEND_BODY:
            if before is not h11.SEND_BODY or self.timer is None:
                self._expect_body()
            self.body_bytes += len(data)
        elif state is not h11.IDLE:
            self._stop()
        elif self.timer is None and before is h11.IDLE:
            self._expect_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop()
        super().connection_lost(exc)

    def _expect_header(self) -> None:
        self.timer = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def _expect_body(self) -> None:
        self._stop()
        self.body_began, self.body_bytes = time.monotonic(), 0
        self.timer = self.loop.call_later(self.limits.body_seconds, self._look_at_body)

    def _look_at_body(self) -> None:
        """Give the body the time that its bytes have earned; while nobody reads them here, their sender may wait."""
        self.timer = None
        if self.transport.is_closing() or self.conn.their_state is not h11.SEND_BODY:
            return
        allowed = self.body_began + self.limits.body_seconds + self.body_bytes / SLOWEST
        left = allowed - time.monotonic()
        if self.flow.read_paused:
            left = max(left, self.limits.body_seconds)
        if left > 0:
            self.timer = self.loop.call_later(left, self._look_at_body)
        else:
            self._too_slow()

    def _too_slow(self) -> None:
        self.timer = None
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(TOO_SLOW)
        self.transport.close()

    def _stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _tell(self) -> None:
        now = time.monotonic()
        if now - type(self).last_told >= TOLD_EVERY:
            type(self).last_told = now
            log.warning(
                "%d connections are open, as many as WINDTUNNEL_MAX_CONNECTIONS or the system's limit of open files allow; "
                "others are refused",
                self.limits.connections,
            )


def config(app: Any, limits: ConnectionLimits, patience: int) -> uvicorn.Config:
    """Settings of uvicorn for a server with these limits.

    Args:
        app: the application.
        limits: of its connections.
        patience: seconds that open answers have to end when the server stops.
    """
    kind = type("LimitedConnection", (Connection,), {"limits": limits})
    return uvicorn.Config(
        app,
        log_level="warning",
        timeout_graceful_shutdown=patience,
        server_header=False,
        proxy_headers=False,  # what proxies say is read by the application itself: service/proxying.py
        http=kind,
        backlog=128,
    )
