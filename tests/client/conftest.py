"""A scripted server for faults, and the real service with a real worker for everything else."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import schema
from store.database import Database
from windtunnel import Client, Job, Pacing
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

SMALL = {
    "task": "digits",
    "model": {"width": 16, "depth": 2},
    "inner": {"steps": 8, "batch_size": 32, "seeds": 2},
    "outer": {"steps": 2, "finish_seeds": 2},
}
"""A job of a few seconds."""
SCALING = {"widths": [8, 16, 32], "steps": [4, 16, 40, 100], "seeds": 1}
"""A grid in which the tokens at least span more than a decade."""


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """Answers requests one after the other with what was written for them; the last answer holds for all that follow."""

    url: str = ""
    steps: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    requests: list[Seen] = field(default_factory=list)

    def answer(self, status: int, body: Any, **headers: str) -> "Script":
        """A whole answer, JSON unless ``body`` is bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        def step(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        self.steps.append(step)
        return self

    def problem(self, status: int, kind: str = "about:blank", **headers: str) -> "Script":
        """A problem document."""
        body = {"type": kind, "title": "refused", "status": status, "detail": f"refused with {status}"}
        return self.answer(status, body, Content_Type="application/problem+json", **headers)

    def drop(self) -> "Script":
        """Close the connection without a word."""
        self.steps.append(lambda handler: setattr(handler, "close_connection", True))
        return self

    def stream(self, *pieces: str, complete: bool) -> "Script":
        """An event stream in pieces; an incomplete one breaks off in the middle."""

        def step(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream")
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            for piece in pieces:
                content = piece.encode()
                handler.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
            if complete:
                handler.wfile.write(b"0\r\n\r\n")
            handler.close_connection = True

        self.steps.append(step)
        return self


@pytest.fixture
def script() -> Iterator[Script]:
    """A scripted server on a real socket."""
    plan = Script()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _act(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            with lock:
                plan.requests.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                step = plan.steps.pop(0) if len(plan.steps) > 1 else plan.steps[0]
            step(self)

        do_GET = do_POST = _act

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        plan.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield plan
        server.shutdown()
        thread.join()


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)

    def read(self) -> float:
        return self.now


@pytest.fixture
def time() -> FakeTime:
    """A clock that only sleeping moves."""
    return FakeTime()


@pytest.fixture
def pacing(time: FakeTime) -> Pacing:
    """Pacing on that clock, without jitter."""
    return Pacing(sleep=time.sleep, sleep_async=time.sleep_async, monotonic=time.read, now=time.read, jitter=lambda: 0.0)


@pytest.fixture
def scripted(script: Script, pacing: Pacing) -> Iterator[Client]:
    """A client of the scripted server whose delays take no time."""
    with Client(script.url, pacing=pacing) as client:
        yield client


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the real service with one real worker."""
    folder = tmp_path_factory.mktemp("service")
    settings = ServiceSettings(data_dir=folder, event_poll=0.02)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    dispatcher = LocalDispatcher(database, WorkerSettings(data_dir=folder, threads=1, poll=0.05, beat=0.5))
    with background(create_app(settings, database=database, dispatcher=dispatcher)) as url:
        yield url
    database.dispose()


@pytest.fixture(scope="session")
def client(service: str) -> Iterator[Client]:
    """A client of the real service."""
    with Client(service, pacing=Pacing(poll=0.05)) as client:
        yield client


@pytest.fixture(scope="session")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the real service without a worker: jobs stay queued, and are cancelled at once."""
    settings = ServiceSettings(data_dir=tmp_path_factory.mktemp("idle"), event_poll=0.02)
    schema.upgrade(settings.url)
    with background(create_app(settings)) as url, Client(url) as client:
        yield client


@pytest.fixture(scope="session")
def finished(client: Client) -> Job:
    """A small job that has succeeded."""
    spec = {**SMALL, "transfer": {"ladder": {"widths": [8, 16, 32], "seeds": 2}, "scaling": SCALING}}
    job = client.jobs.create(spec, idempotency_key="finished")
    job.wait(timeout=120, progress=False)
    return job


@pytest.fixture
def small() -> dict[str, Any]:
    """The spec of a job of a few seconds."""
    return dict(SMALL)


@pytest.fixture
def job_json() -> dict[str, Any]:
    """A running job as the API sends it."""
    return {
        "id": "job_1",
        "name": "",
        "state": "running",
        "spec": {"task": "digits"},
        "progress": {
            "outer_step": 1,
            "outer_steps": 12,
            "inner_steps": 0,
            "phase": "tune",
            "fraction": 0.25,
            "run_equivalents": 3.0,
        },
        "current": None,
        "best": None,
        "failure": None,
        "cancel_requested": False,
        "created_at": "2026-01-01T00:00:00Z",
        "started_at": None,
        "finished_at": None,
        "worker": None,
        "attempts": 1,
        "plans": [],
    }
