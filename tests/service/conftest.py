"""The real application on a real database behind a real socket, and jobs in every state without training anything."""

import contextlib
import queue
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from hpo.families.facts.mlp import mlp_tensors
from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import events, jobs, leases, metrics
from store.database import Database
from store.keys import LOCAL
from store.leases import Lease
from windtunnel.types import (
    BestPoint,
    CoordinateCheck,
    CoordinateSlope,
    Cost,
    EstimatorChoice,
    Failure,
    JobSpec,
    LossEstimate,
    OuterStep,
    PointEvaluation,
    Progress,
    Provenance,
    ProxyFacts,
    ScheduleCurve,
    TuneResult,
)
from windtunnel.types.results import ChaosReading
from windtunnel.types.scaling import ScalingReport

RATES = {"learning_rate.input": 0.01, "learning_rate.hidden": 0.02, "learning_rate.output": 0.03}
DECAYS = {"weight_decay.input": 0.1, "weight_decay.hidden": 0.2, "weight_decay.output": 0.3}
BIASES = {"learning_rate.vector": 0.01, "learning_rate.scalar": 0.01}
POINT = RATES | BIASES | DECAYS


def outer_step(number: int, outer_steps: int = 3) -> OuterStep:
    """An outer step with losses that fall."""
    return OuterStep(
        outer_step=number,
        outer_steps=outer_steps,
        loss=1.0 / (number + 1),
        stderr=0.01,
        seeds=4,
        dropped_members=0,
        hyperparameters={label: value * (number + 1) for label, value in POINT.items()},
        gradient=dict.fromkeys(POINT, 0.5) if number else {},
        gradient_norm=0.5 if number else None,
        bounded_share=0.25 if number else None,
        mean_scale=0.75 if number else None,
        step_length=0.3,
        moved=True,
        rolled_back=False,
        sweep=None if number else {"learning_rate": [1e-3, 1e-2, 1e-1], "loss": [2.0, 1.0, 1.5]},
        run_equivalents=4.0 * number,
    )


def tune_result(spec: JobSpec, verdict: str) -> TuneResult:
    """A result whose coordinate check came out as ``verdict``."""

    def point(loss: float) -> PointEvaluation:
        estimate = LossEstimate(mean=loss, stderr=0.01, seeds=8, accuracy=0.9)
        return PointEvaluation(hyperparameters=POINT, validation=estimate, test=estimate)

    tensors = mlp_tensors(64, 10, spec.model.width, spec.model.depth)
    check = CoordinateCheck(
        verdict=verdict,
        widths=[64, 128, 256],
        steps=3,
        seeds=2,
        learning_rate=0.01,
        slopes=[CoordinateSlope(module="layers.0", quantity="change", step=3, slope=0.02, verdict=verdict)],
        sizes={"layers.0": [0.1, 0.1, 0.1], "readout": [0.2, 0.2, 0.2]},
        losses=[1.0, 0.9, 0.8],
    )
    return TuneResult(
        spec=spec,
        start=point(0.5),
        best=point(0.25),
        schedule=ScheduleCurve(times=[0.0, 0.5, 1.0], start=[0.0, 1.0, 0.1], best=[0.0, 1.0, 0.2]),
        estimator=EstimatorChoice(
            estimator="reverse", engine="population", adjoint="bounded", checkpointing="none", reason="31 hyperparameters"
        ),
        chaos=ChaosReading(bounded_share=0.25, mean_scale=0.75),
        cost=Cost(run_equivalents=12.0, gradient_evaluations=9600.0, wall_seconds=61.0),
        proxy=ProxyFacts(tensors=tensors, parameters=9000, features=64, classes=10),
        coordinate_check=check,
        dropped_members=0,
        provenance=Provenance(spec_sha256="a" * 64, data_sha256="b" * 64, versions={"torch": "2"}, threads=1, seed=0),
    )


class Jobs:
    """Takes jobs through their lives by the store's own transitions, as a worker would."""

    outer_step = staticmethod(outer_step)

    def __init__(self, database: Database) -> None:
        self.database = database

    def queued(self, **spec: object) -> str:
        """A job that waits."""
        with self.database.transaction() as session:
            return jobs.submit(session, JobSpec(**{"task": "digits", **spec}), owner=LOCAL).id

    def claim(self, job_id: str) -> Lease:
        """Its worker's lease."""
        with self.database.transaction() as session:
            lease = leases.claim(session, job_id, "test-worker", 60.0)
        assert lease is not None
        return lease

    def step(self, lease: Lease, number: int) -> None:
        """One outer step, as a job process writes it."""
        step = outer_step(number)
        done = Progress(
            outer_step=number, outer_steps=3, inner_steps=0, phase="tune", fraction=number / 4, run_equivalents=4.0 * number
        )
        point = BestPoint(outer_step=number, loss=step.loss, stderr=step.stderr, hyperparameters=step.hyperparameters)
        with self.database.transaction() as session:
            leases.progress(session, lease, done, point, point)
            metrics.record(session, lease, number, {"loss": step.loss, "loss_stderr": step.stderr})
            events.append(session, lease.job_id, "outer_step", step.model_dump(mode="json"))

    def running(self, **spec: object) -> Lease:
        """A job that is running, after two outer steps."""
        lease = self.claim(self.queued(**spec))
        for number in range(2):
            self.step(lease, number)
        return lease

    def succeed(self, lease: Lease, verdict: str = "pass", scaling: ScalingReport | None = None) -> None:
        """The end of a job that went well."""
        with self.database.transaction() as session:
            spec = jobs.get(session, lease.job_id, owner=LOCAL).spec
            leases.succeed(session, lease, tune_result(spec, verdict).model_copy(update={"scaling": scaling}))

    def succeeded(self, verdict: str = "pass", scaling: ScalingReport | None = None, **spec: object) -> str:
        """A job that has ended well."""
        lease = self.running(**spec)
        self.succeed(lease, verdict, scaling)
        return lease.job_id

    def failed(self, **spec: object) -> str:
        """A job that has failed."""
        lease = self.running(**spec)
        with self.database.transaction() as session:
            leases.fail(session, lease, Failure(type="diverged", message="every run diverged", hint="lower the rate"))
        return lease.job_id


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    """Settings of a server that looks at its database often."""
    return ServiceSettings(data_dir=tmp_path, event_poll=0.02)


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    """A fresh SQLite database."""
    opened = Database(sqlite_url)
    yield opened
    opened.dispose()


@pytest.fixture
def client(sqlite: Database, settings: ServiceSettings) -> Iterator[httpx.Client]:
    """A client of a server on SQLite."""
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url, timeout=10) as client:
        yield client


@pytest.fixture
def work(sqlite: Database) -> Jobs:
    """Makes jobs in the SQLite database."""
    return Jobs(sqlite)


@pytest.fixture
def either(database: Database, settings: ServiceSettings) -> Iterator[httpx.Client]:
    """A client of a server, once on SQLite and once on PostgreSQL."""
    with background(create_app(settings, database=database)) as url, httpx.Client(base_url=url, timeout=10) as client:
        yield client


@pytest.fixture
def work_on_either(database: Database) -> Jobs:
    """Makes jobs in the database of ``either``."""
    return Jobs(database)


class Receiver:
    """An HTTP server on a thread. It answers as it was told, in order, then with 204, and keeps what came."""

    def __init__(self, *answers: int, context: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.came: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.may_answer = threading.Event()
        self.may_answer.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.came.put(({name.lower(): value for name, value in self.headers.items()}, body))
                receiver.may_answer.wait(30)
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                if status // 100 == 3:
                    self.send_header("location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                said = b"" if status == 204 else f"this is {status}\0".encode()
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?a=b"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def next(self) -> tuple[dict[str, str], bytes]:
        return self.came.get(timeout=20)

    def close(self) -> None:
        self.may_answer.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    """Makes receivers."""
    made: list[Receiver] = []

    def make(*answers: int, **more: object) -> Receiver:
        made.append(Receiver(*answers, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def in_background() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """Runs a function in a thread for as long as a block runs, and waits for its end."""

    @contextlib.contextmanager
    def run(work: Callable[[], None]) -> Iterator[None]:
        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    return run
