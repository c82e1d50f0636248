"""Runs the application until a signal ends it; the command line's ``serve`` calls this."""

import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Generator, Iterator

import uvicorn
from fastapi import FastAPI

from service import connections
from service.app import Dispatcher, create_app
from service.connections import ConnectionLimits
from service.settings import ServiceSettings, is_loopback
from store import keys
from store.database import Database

log = logging.getLogger("windtunnel.service")

PATIENCE = 5
"""Seconds that open answers have to end after a signal. Event streams end at once, so only a broken reader takes them."""


class AddressUnavailableError(Exception):
    """The server cannot listen on the given address."""


class OpenToAllError(Exception):
    """The server would answer other machines, and no API key was ever made."""


class Server(uvicorn.Server):
    """uvicorn that tells event streams to end before it waits for them, and that ends well on a signal."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the streams go, then shut down."""
        self.config.app.state.stopping.set()  # type: ignore[union-attr]
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals as uvicorn does, but raise none again at the end: a stop that was asked for is no failure."""
        # Signals can be handled in the main thread only.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(settings: ServiceSettings, dispatcher: Dispatcher | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then return.

    Raises:
        AddressUnavailableError: the port is taken or the address is not this machine's.
        OpenToAllError: other machines can reach the address, and nobody needs a key.
    """
    if not is_loopback(settings.host):
        _check_keys(settings)
    listener = listen(settings.host, settings.port)
    app = create_app(settings, dispatcher=dispatcher)
    config = connections.config(app, _limits(settings), PATIENCE)
    log.info("Windtunnel listens on %s", address(listener))
    Server(config).run(sockets=[listener])


def _limits(settings: ServiceSettings) -> ConnectionLimits:
    most = connections.fitting(settings.max_connections)
    return ConnectionLimits(most, settings.header_seconds, settings.body_seconds)


def _check_keys(settings: ServiceSettings) -> None:
    database = Database(settings.url)
    try:
        with database.snapshot() as session:
            if keys.any_made(session):
                return
    finally:
        database.dispose()
    raise OpenToAllError(
        f"WINDTUNNEL_HOST {settings.host!r} is reachable from other machines, and without keys anybody could start jobs "
        "there. Make a key first, with `windtunnel keys create` on the same database; or listen on 127.0.0.1, ::1 or "
        "localhost (with a proxy that signs people in before it, whose host is named in WINDTUNNEL_ALLOWED_HOSTS)"
    )


@contextlib.contextmanager
def background(app: FastAPI, *, deadline: float = 30.0) -> Iterator[str]:
    """Serve in a thread of this process, on a free port of the loopback address, for as long as the block runs.

    Yields:
        The server's URL.

    Raises:
        TimeoutError: the server did not start, or did not stop, within ``deadline`` seconds.
    """
    listener = listen("127.0.0.1", 0)
    url = address(listener)
    server = Server(connections.config(app, _limits(app.state.settings), PATIENCE))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="windtunnel-server")
    thread.start()
    try:
        end = time.monotonic() + deadline
        while not server.started:
            if not thread.is_alive() or time.monotonic() > end:
                raise TimeoutError(f"the server at {url} did not start within {deadline:g} s; its log says why")
            time.sleep(0.005)
        yield url
    finally:
        server.should_exit = True
        thread.join(deadline)
    if thread.is_alive():
        raise TimeoutError(f"the server at {url} did not stop within {deadline:g} s")


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one."""
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)[0]
    # asyncio sends small answers at once (TCP_NODELAY) only where it sees that the protocol is TCP; a socket with the
    # default protocol 0 waits some 40 ms for each answer of a connection that is kept open.
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(place)
    except OSError as error:
        listener.close()
        raise AddressUnavailableError(
            f"cannot listen on {host}, port {port}: {error.strerror}; is another server running there? "
            "Choose another port with --port or WINDTUNNEL_PORT"
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
