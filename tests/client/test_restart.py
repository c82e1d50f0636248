"""Followers of a real server process that is killed with SIGKILL and started again: every event, exactly once."""

import asyncio
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store import events, jobs, leases, schema
from store.database import Database
from store.keys import LOCAL
from windtunnel import AsyncClient, Client, JobEvent, JobSpec, Pacing

PATIENT = Pacing(retries=600, first_delay=0.05, longest_delay=0.2)
"""Two minutes: a process that starts on a busy machine takes its time."""
BURST = 300
"""Events written at once: more than a server has sent when it is killed after the first few."""


class ServeProcess:
    """``windtunnel serve`` on one port, started and killed."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--no-worker", "--port", str(self.port), "--data-dir", str(self._folder)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "windtunnel", "serve", *options], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        with Client(self.url, pacing=PATIENT) as client:
            client.ready()

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            assert self._process.wait(10) == -signal.SIGKILL
            self._process = None


class Follower(threading.Thread):
    """Follows a job in a thread of its own."""

    def __init__(self, follow: Callable[[Callable[[JobEvent], None]], None]) -> None:
        super().__init__(daemon=True)
        self._follow = follow
        self._arrived: queue.Queue[JobEvent | BaseException | None] = queue.Queue()
        self.seqs: list[int] = []
        self.start()

    def run(self) -> None:
        try:
            self._follow(self._arrived.put)
        except BaseException as error:  # noqa: BLE001 - told to the test, which waits for it
            self._arrived.put(error)
        self._arrived.put(None)

    def until(self, seq: int | None) -> None:
        """Wait until an event has arrived; None: until the end."""
        while seq is None or not self.seqs or self.seqs[-1] < seq:
            event = self._arrived.get(timeout=60)
            if isinstance(event, BaseException):
                raise event
            if event is None:
                assert seq is None, f"ended after {self.seqs[-1:]}, before {seq}"
                return
            self.seqs.append(event.seq)


def blocking(url: str, job_id: str) -> Follower:
    def follow(tell: Callable[[JobEvent], None]) -> None:
        with Client(url, pacing=PATIENT) as client:
            for event in client.jobs.get(job_id).events():
                tell(event)

    return Follower(follow)


def awaited(url: str, job_id: str) -> Follower:
    async def following(tell: Callable[[JobEvent], None]) -> None:
        async with AsyncClient(url, pacing=PATIENT) as client:
            async for event in (await client.jobs.get(job_id)).events():
                tell(event)

    return Follower(lambda tell: asyncio.run(following(tell)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServeProcess]:
    made = ServeProcess(tmp_path)
    yield made
    made.kill()


def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(server, tmp_path):
    url = f"sqlite:///{tmp_path / 'windtunnel.db'}"
    schema.upgrade(url)
    database = Database(url)
    with database.transaction() as s:
        job_id = jobs.submit(s, JobSpec(task="digits"), owner=LOCAL).id
        lease = leases.claim(s, job_id, "worker", 600)

    def write(number: int) -> int:
        with database.transaction() as s:
            return [events.append(s, job_id, "outer_step", {}) for _ in range(number)][-1]

    server.start()
    followers = [blocking(server.url, job_id), awaited(server.url, job_id)]
    for _ in range(2):
        last = write(BURST)
        # In the middle of the burst: one follower has seen its first event, wherever the other is.
        followers[0].until(last - BURST + 1)
        server.kill()
        write(10)
        server.start()
    with database.transaction() as s:
        leases.mark_cancelled(s, lease)
    with database.snapshot() as s:
        written = [event.seq for event in events.after(s, job_id, 0, owner=LOCAL)]
    for follower in followers:
        follower.until(None)
        assert follower.seqs == written == list(range(1, 2 + 1 + 2 * (BURST + 10) + 1))
    database.dispose()
