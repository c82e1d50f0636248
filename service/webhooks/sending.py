"""One attempt to deliver a message: signed, to a checked address, with no redirect followed and an end to everything."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import windtunnel
from service.settings import Network
from service.webhooks.addresses import ForbiddenAddress, Resolve, checked
from store.deliveries import Attempt, Outcome
from windtunnel.webhooks import sign

MOST_ANSWER = 4096
"""Bytes of an answer's body that are read."""

SHOWN_ANSWER = 500
"""Characters of it that are kept."""

GONE = 410
"""The receiver wants no more of it."""


class Line:
    """Handle that ends an attempt from outside: at its deadline, or when the server stops.

    Args:
        seconds: that the whole attempt may take, once connected.
    """

    def __init__(self, seconds: float) -> None:
        self.ends_at = time.monotonic() + seconds
        self.seconds = seconds
        self.cut = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    @property
    def left(self) -> float:
        """Seconds until the deadline; never 0, which would mean no time-out to a socket."""
        return max(self.ends_at - time.monotonic(), 0.001)

    def hold(self, opened: socket.socket) -> None:
        """Take this connection as the one to end."""
        with self._lock:
            self._socket = opened
            if self.cut:
                self._shut()

    def end(self) -> None:
        """End the connection, now and any later one; a reader gets an end of file."""
        with self._lock:
            self.cut = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    """HTTP over a connection that was made elsewhere: ``Host`` is the name in the URL, the address is the one checked."""

    def __init__(self, host: str, port: int, default_port: int, opened: socket.socket) -> None:
        self.default_port = default_port
        super().__init__(host, port)
        self.sock = opened


def deliver(
    attempt: Attempt,
    line: Line,
    allowed: Sequence[Network] = (),
    *,
    resolve: Resolve = socket.getaddrinfo,
    context: ssl.SSLContext | None = None,
) -> Outcome:
    """Send a message and read the beginning of the answer. Delivered is what is answered with 2xx.

    Args:
        attempt: the message, where to, and the secret.
        line: how long it may take; ends it from outside.
        allowed: networks beside the public ones that it may go to.
        resolve: finds the addresses of a name.
        context: of TLS; None: the machine's own certificates.
    """
    url = urlsplit(attempt.url)
    host, secure = url.hostname or "", url.scheme == "https"
    default_port = 443 if secure else 80
    port = url.port or default_port
    body = attempt.body.encode()
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        places = checked(host, port, allowed, resolve)
        with _connected(places, line) as plain, _timed(line):
            trusted = (context or ssl.create_default_context()) if secure else None
            opened = plain if trusted is None else _secured(plain, trusted, host, line)
            with contextlib.closing(_Connection(host, port, default_port, opened)) as connection:
                connection.request("POST", path, body, _headers(attempt, body))
                answer = connection.getresponse()
                if line.cut:  # within the headers, whose end looks like an end of file
                    raise TimeoutError
                return _outcome(answer.status, _beginning(answer))
    except ForbiddenAddress as error:
        return Outcome(error=f"refused: {error}")
    except UnicodeError:  # a label of the name is too long to be asked for
        return Outcome(error="the host cannot be found: it is no name of a host")
    except (OSError, http.client.HTTPException) as error:
        return Outcome(error=_why(error, line))


def _headers(attempt: Attempt, body: bytes) -> dict[str, str]:
    stamp = int(time.time())
    return {
        "content-type": "application/json",
        "user-agent": f"Windtunnel/{windtunnel.__version__}",
        "webhook-id": attempt.message_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign(attempt.secret, attempt.message_id, stamp, body),
        "connection": "close",
    }


@contextlib.contextmanager
def _connected(places: Sequence[Any], line: Line) -> Iterator[socket.socket]:
    """A connection to the first of the places that takes one."""
    failure: OSError | None = None
    for family, kind, protocol, _, place in places:
        opened = socket.socket(family, kind, protocol)
        try:
            opened.settimeout(line.left)
            opened.connect(place)
        except OSError as error:
            opened.close()
            failure = error
        else:
            line.hold(opened)
            with opened:
                yield opened
            return
    assert failure is not None
    raise failure


def _secured(plain: socket.socket, context: ssl.SSLContext, host: str, line: Line) -> ssl.SSLSocket:
    """TLS with the name of the URL: it is asked for (SNI), and the certificate must be its."""
    opened = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    line.hold(opened)
    try:
        opened.settimeout(line.left)
        opened.do_handshake()
    except BaseException:
        opened.close()
        raise
    return opened


@contextlib.contextmanager
def _timed(line: Line) -> Iterator[None]:
    """End the connection at the deadline: time-outs of a socket begin anew with each byte."""
    clock = threading.Timer(line.left, line.end)
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        clock.cancel()


def _beginning(answer: http.client.HTTPResponse) -> str:
    """The first characters of the body that can be shown; what came of it, where it breaks off."""
    try:
        content = answer.read(MOST_ANSWER)
    except http.client.IncompleteRead as error:
        content = error.partial
    except (OSError, http.client.HTTPException):
        content = b""
    text = content.decode("utf-8", "replace")[:SHOWN_ANSWER]
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def _outcome(status: int, answer: str) -> Outcome:
    match status // 100:
        case 2:
            return Outcome(status, answer)
        case 3:
            return Outcome(status, answer, f"answered {status}; redirects are not followed: give the address itself")
        case _:
            gone = "; it is gone, so nothing more is tried" if status == GONE else ""
            return Outcome(status, answer, f"answered {status}{gone}", final=status == GONE)


def _why(error: Exception, line: Line) -> str:
    if isinstance(error, socket.gaierror):
        return f"the host cannot be found: {error.strerror}"
    if isinstance(error, TimeoutError) or line.cut:
        return f"no answer within {line.seconds:g} s"
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        return f"TLS failed: {reason}"
    if isinstance(error, OSError):
        return f"no connection: {error.strerror or error}"
    return f"the answer is no HTTP: {type(error).__name__}"
