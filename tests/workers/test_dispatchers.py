"""One contract for every dispatcher on every database: jobs run to their end, nothing is lost, nothing runs twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from store import events, jobs, leases, workers
from store.database import Database
from store.keys import LOCAL
from windtunnel.types import TERMINAL_STATES, JobSpec
from workers.broker import CONFIGURATION, QUEUE, RUN_JOB, make_app
from workers.celery_dispatcher import CeleryDispatcher
from workers.dispatching import Dispatcher
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

PATIENCE = 90.0


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


class Fleet(Protocol):
    """A dispatcher and two slots, however they come together."""

    dispatcher: Dispatcher

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def ring(self, job_id: str, times: int) -> None:
        """Ring again for this job, asked for or not."""


class LocalFleet:
    """A LocalDispatcher of this process."""

    def __init__(self, database: Database, settings: WorkerSettings) -> None:
        self.database = database
        self.dispatcher: LocalDispatcher = LocalDispatcher(database, settings)

    def start(self) -> None:
        self.dispatcher.start()

    def stop(self) -> None:
        self.dispatcher.stop()

    def ring(self, job_id: str, times: int) -> None:
        # What a ring does here is to look.
        for _ in range(times):
            self.dispatcher.again()


class CeleryFleet:
    """A CeleryDispatcher of this process, and a Celery worker as people start it."""

    def __init__(self, database: Database, settings: WorkerSettings) -> None:
        self.settings = settings
        self.dispatcher: CeleryDispatcher = CeleryDispatcher(database, settings)
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.dispatcher.start()
        variables = {
            f"WINDTUNNEL_{name.upper()}": str(value)
            for name, value in self.settings.model_dump(exclude={"devices"}, exclude_none=True).items()
        }
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "workers.celery_app", "worker"]
        self.worker = subprocess.Popen(command, env={**os.environ, **variables})

    def stop(self) -> None:
        self.dispatcher.stop()
        if self.worker is not None:
            self.worker.send_signal(signal.SIGTERM)
            assert self.worker.wait(60) == 0
            self.worker = None

    def ring(self, job_id: str, times: int) -> None:
        with make_app(self.settings) as app:
            for _ in range(times):
                app.send_task(RUN_JOB, args=[job_id], queue=QUEUE)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(
        database_url=database_url, data_dir=tmp_path, slots=2, threads=1, poll=0.05, beat=0.3, lease_ttl=20, grace=20
    )


@pytest.fixture(params=["local", "celery"])
def fleet(request: pytest.FixtureRequest, database: Database, settings: WorkerSettings) -> Iterator[Fleet]:
    made: Fleet
    if request.param == "local":
        made = LocalFleet(database, settings)
    else:
        broker = request.getfixturevalue("redis_server").url
        made = CeleryFleet(database, settings.model_copy(update={"broker_url": broker}))
    yield made
    made.stop()


def submit(database: Database, spec: JobSpec) -> str:
    with database.transaction() as s:
        return jobs.submit(s, spec, owner=LOCAL).id


def state(database: Database, job_id: str) -> str:
    with database.snapshot() as s:
        return jobs.get(s, job_id, owner=LOCAL).state


def told(database: Database, job_id: str) -> list[str]:
    with database.snapshot() as s:
        return [event.type for event in events.after(s, job_id, 0, owner=LOCAL)]


def endless(spec: JobSpec) -> JobSpec:
    """The job with so many outer steps that no test waits for them."""
    return spec.model_copy(update={"outer": spec.outer.model_copy(update={"steps": 900})})


def test_a_job_runs_to_its_end_once_however_often_it_rings_and_a_stop_loses_none(
    fleet: Fleet, database: Database, tiny: JobSpec
) -> None:
    short, long = submit(database, tiny), submit(database, endless(tiny))
    assert not fleet.dispatcher.alive
    fleet.start()
    assert fleet.dispatcher.alive
    wait_until(lambda: state(database, short) == state(database, long) == "running")
    fleet.ring(short, 50)
    wait_until(lambda: state(database, short) in TERMINAL_STATES)
    assert state(database, short) == "succeeded"
    assert told(database, short).count("started") == told(database, short).count("succeeded") == 1
    with database.snapshot() as s:
        ran = {jobs.attempts(s, job_id, owner=LOCAL)[0].worker for job_id in (short, long)}
        assert len(ran) == 2
        assert {worker.id for worker in workers.listing(s)} == ran
    fleet.stop()
    assert not fleet.dispatcher.alive
    assert state(database, long) == "queued" and "crashed" not in told(database, long)
    with database.snapshot() as s:
        assert workers.listing(s) == []


def test_the_dead_are_noticed_long_before_their_lease_ends_and_pauses_and_cancels_are_heard(
    fleet: Fleet, database: Database, tiny: JobSpec
) -> None:
    orphan, paused, cancelled = (submit(database, endless(tiny)) for _ in range(3))
    program = "from workers import identity; print(identity.worker_id(0))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    with database.transaction() as s:
        assert leases.claim(s, orphan, ended.stdout.strip(), 3600) is not None
        jobs.request_cancel(s, cancelled, owner=LOCAL)
    fleet.start()
    wait_until(lambda: state(database, paused) == "running" and told(database, orphan).count("started") == 2)
    assert told(database, orphan)[:5] == ["queued", "started", "crashed", "requeued", "started"]
    with database.transaction() as s:
        jobs.request_pause(s, paused, owner=LOCAL)
        jobs.request_cancel(s, orphan, owner=LOCAL)
    wait_until(lambda: (state(database, paused), state(database, orphan)) == ("paused", "cancelled"))
    with database.transaction() as s:
        jobs.resume(s, paused, owner=LOCAL)
    wait_until(lambda: state(database, paused) == "running")
    assert state(database, cancelled) == "cancelled"


def test_a_dispatcher_starts_once(fleet: Fleet) -> None:
    fleet.dispatcher.start()
    with pytest.raises(RuntimeError, match="starts once"):
        fleet.dispatcher.start()


def test_celery_is_set_up_so_that_it_recovers_nothing_by_itself(settings: WorkerSettings) -> None:
    app = make_app(settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))
    assert {name: app.conf[name] for name in CONFIGURATION} == CONFIGURATION
    assert app.conf.worker_concurrency == settings.slots
