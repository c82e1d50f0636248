"""A server with its workers inside this process, for ``Client.local()``. Imports server and workers only when called."""

import asyncio
import importlib
import importlib.util
import os
import tempfile
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from windtunnel.client._errors import InvalidRequest, NotInstalled

NEEDED = ("service.serve", "service.app", "service.settings", "store.schema", "store.database", "store.settings")
NEEDED_TO_WORK = ("workers.local", "workers.settings")
LOOK = 0.5
"""Seconds between two checks whether the program that started the server has ended without closing it."""
POLL = 0.05
"""Seconds between two reads of the database by server and workers; short, because nobody else uses it."""

BEAT = 1.0
"""Seconds, at most, from a request to cancel until the job process sees it."""


class LocalServer:
    """A server on a free port of the loopback address, until it is closed or the program ends.

    Args:
        data_dir: folder of jobs and checkpoints; None: a temporary folder, deleted when the server is closed.
        workers: jobs that run at the same time.
        threads: compute threads of each job; None: the jobs share the cores.

    Raises:
        NotInstalled: the packages of server and worker are not installed.
        InvalidRequest: an argument or a ``WINDTUNNEL_`` variable is malformed.
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None, workers: int, threads: int | None) -> None:
        parts = {name: _load(name) for name in (*NEEDED, *NEEDED_TO_WORK)}
        need_to_train("a local server", "server,worker")
        self._closing = threading.Event()
        self._ended: Future[None] = Future()
        started: Future[str] = Future()
        arguments = (parts, data_dir, workers, threads, started)
        # No daemon: jobs are to let go of their checkpoints in order, also where nobody closes the client.
        self._thread = threading.Thread(target=self._run, args=arguments, name="windtunnel-local")
        self._thread.start()
        self.url = started.result()

    @classmethod
    async def start_async(cls, data_dir: str | os.PathLike[str] | None, workers: int, threads: int | None) -> "LocalServer":
        """Start a server without blocking the event loop."""
        return await asyncio.to_thread(cls, data_dir, workers, threads)

    @classmethod
    def start(cls, data_dir: str | os.PathLike[str] | None, workers: int, threads: int | None) -> "LocalServer":
        """Start a server and return it once it answers."""
        return cls(data_dir, workers, threads)

    def close(self) -> None:
        """Stop the server. Running jobs are released and keep their checkpoints. A second call does nothing."""
        self._closing.set()
        self._ended.result()

    async def close_async(self) -> None:
        """Stop the server without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def _run(
        self,
        parts: dict[str, Any],
        data_dir: str | os.PathLike[str] | None,
        workers: int,
        threads: int | None,
        started: "Future[str]",
    ) -> None:
        try:
            with ExitStack() as stack:
                folder = data_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="windtunnel-"))
                started.set_result(stack.enter_context(_served(parts, Path(folder), workers, threads, stack)))
                while not self._closing.wait(LOOK):
                    if not threading.main_thread().is_alive():
                        break
            self._ended.set_result(None)
        except BaseException as error:  # noqa: BLE001 - the boundary of a thread: who waits for it raises it
            (self._ended if started.done() else started).set_exception(error)


def _served(parts: dict[str, Any], folder: Path, workers: int, threads: int | None, stack: ExitStack) -> Any:
    """Context that serves the folder and yields the server's address."""
    url = f"sqlite:///{folder.expanduser().absolute() / 'windtunnel.db'}"
    # Neither a database nor a broker of the environment: what is local stays in its folder.
    own = {"data_dir": folder, "database_url": url}
    try:
        service = parts["store.settings"].read(parts["service.settings"].ServiceSettings, **own, event_poll=POLL)
        worker = parts["store.settings"].read(
            parts["workers.settings"].WorkerSettings, **own, slots=workers, threads=threads, poll=POLL, beat=BEAT
        )
    except importlib.import_module("store.errors").SettingsError as error:
        raise InvalidRequest(str(error)) from error
    folder.expanduser().mkdir(parents=True, exist_ok=True)
    parts["store.schema"].upgrade(url)
    database = parts["store.database"].Database(url)
    stack.callback(database.dispose)
    dispatcher = parts["workers.local"].LocalDispatcher(database, worker.model_copy(update={"broker_url": None}))
    settings = service.model_copy(update={"broker_url": None})
    app = parts["service.app"].create_app(settings, database=database, dispatcher=dispatcher)
    return parts["service.serve"].background(app)


def need_to_train(what: str, extras: str = "worker") -> None:
    """Check that torch is installed.

    Raises:
        NotInstalled: torch is missing; the message names the extras to install.
    """
    if importlib.util.find_spec("torch") is None:
        raise _not_installed("torch", what, extras)


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise _not_installed(error.name or name, "a local server", "server,worker") from error


def _not_installed(name: str, what: str, extras: str) -> NotInstalled:
    return NotInstalled(
        f"{what} needs {name}, which is not installed. Install it with: pip install 'windtunnel[{extras}]'; "
        "or use a server that runs elsewhere: windtunnel.Client(url)"
    )
