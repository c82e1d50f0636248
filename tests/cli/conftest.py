"""A real ``windtunnel serve`` process, and the command line as a function."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import schema
from windtunnel.cli.app import app
from windtunnel.client import Client, Pacing

SMALL = {
    "task": "digits",
    "name": "small",
    "model": {"width": 16, "depth": 2},
    "inner": {"steps": 8, "batch_size": 32, "seeds": 2},
    "outer": {"steps": 2, "finish_seeds": 2},
}
"""A job of a few seconds."""


class Server:
    """A ``windtunnel serve`` process on a free port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.log = folder / f"log-{len(list(folder.glob('log-*')))}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WINDTUNNEL_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "windtunnel", "serve", "--port", "0", "--data-dir", str(folder / "data"), *options],
                stderr=log,
                stdout=log,
                env=environment | {"WINDTUNNEL_POLL": "0.05", "WINDTUNNEL_BEAT": "0.5", "WINDTUNNEL_EVENT_POLL": "0.02"},
            )
        wait_until(lambda: self.process.poll() is not None or "listens on" in self.log.read_text(), 60)
        found = re.search(r"listens on (\S+)", self.log.read_text())
        assert found, self.log.read_text()
        self.url = found[1]
        with Client(self.url, pacing=Pacing(retries=100, first_delay=0.05, longest_delay=0.2)) as client:
            client.tasks()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Look until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold in time"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one worker, for all tests."""
    running = Server(tmp_path_factory.mktemp("server"), "--threads", "1")
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers over one folder, and sees that none is left."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(tmp_path, *options))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs a command line in this process, in an empty folder, in an environment without our variables."""
    for name in [name for name in os.environ if name.startswith("WINDTUNNEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def invoke(*args: str, input: str | None = None) -> Result:  # noqa: A002
        return runner.invoke(app, args, input=input, catch_exceptions=False)

    return invoke


@pytest.fixture
def ask(run: Callable[..., Result], server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command line against the server."""
    monkeypatch.setenv("WINDTUNNEL_URL", server.url)
    return run


@pytest.fixture(scope="session")
def finished(server: Server) -> str:
    """Id of a small job that has succeeded."""
    with Client(server.url, pacing=Pacing(poll=0.05)) as client:
        asked = {
            "outer": SMALL["outer"] | {"early_stopping": True},
            "transfer": {"scaling": {"widths": [8, 16, 32], "steps": [4, 16, 40, 100], "seeds": 1}},
        }
        job = client.jobs.create(SMALL | asked)
        job.wait(timeout=120, progress=False)
        return job.id


@pytest.fixture(scope="session")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service without a worker: jobs stay queued."""
    settings = ServiceSettings(data_dir=tmp_path_factory.mktemp("idle"), event_poll=0.02)
    schema.upgrade(settings.url)
    with background(create_app(settings)) as url:
        yield url


@pytest.fixture
def ask_idle(run: Callable[..., Result], idle: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command line against the service without a worker."""
    monkeypatch.setenv("WINDTUNNEL_URL", idle)
    return run


@pytest.fixture
def queued(idle: str) -> str:
    """Id of a job that waits for a worker."""
    with Client(idle) as client:
        return client.jobs.create(SMALL | {"name": "long [red]job[/]"}).id


@pytest.fixture
def small() -> dict[str, Any]:
    """The spec of a job of a few seconds."""
    return dict(SMALL)
