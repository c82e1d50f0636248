"""Real worker processes to kill and suspend, and the result that an undisturbed run gives."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from hpo.study import Study
from store import events, jobs
from store.database import Database
from store.errors import DATABASE_ERRORS
from store.keys import LOCAL
from windtunnel.types import Job, JobEvent, JobSpec, TuneResult

Value = TypeVar("Value")

PATIENCE = 120.0
"""Seconds until something that must happen counts as not happening."""

SPEC = JobSpec.model_validate(
    {
        "task": "digits",
        "model": {"width": 16},
        "inner": {"steps": 30, "seeds": 2},
        "outer": {"steps": 4, "finish_seeds": 2},
    }
)


BEST_RESPONSE = JobSpec.model_validate(
    {
        **SPEC.model_dump(mode="json", include={"task", "model", "outer"}),
        "inner": {"steps": 400, "seeds": 2},
        "search": [{"name": "l2"}, {"name": "dropout"}],
        "method": {"estimator": "delta_stn"},
    }
)
"""A job whose outer steps are parts of one training run."""


def timeless(result: TuneResult) -> TuneResult:
    """The result without the one number that no two runs share."""
    return result.model_copy(update={"cost": result.cost.model_copy(update={"wall_seconds": 0.0})})


@pytest.fixture(scope="session")
def undisturbed() -> TuneResult:
    """What the job gives when nobody touches it."""
    return alone(SPEC)


@pytest.fixture
def undisturbed_response() -> TuneResult:
    """Likewise, of a best response."""
    return alone(BEST_RESPONSE)


def alone(spec: JobSpec) -> TuneResult:
    """The result of a job in this process."""
    study = Study(spec, threads=1)
    for _ in study:
        pass
    return timeless(study.finish())


def _whatever_the_database_does(look: Callable[[], Value]) -> Value | None:
    """What it sees; None while the database is away."""
    try:
        return look()
    except DATABASE_ERRORS:
        return None


class Watch:
    """One job in a database, looked at from outside."""

    def __init__(self, database: Database, spec: JobSpec = SPEC) -> None:
        self.database = database
        with database.transaction() as s:
            self.job_id = jobs.submit(s, spec, owner=LOCAL).id

    @property
    def job(self) -> Job:
        """As it stands."""
        with self.database.snapshot() as s:
            return jobs.get(s, self.job_id, owner=LOCAL)

    @property
    def log(self) -> list[JobEvent]:
        """Its events."""
        with self.database.snapshot() as s:
            return events.after(s, self.job_id, 0, owner=LOCAL)

    @property
    def types(self) -> list[str]:
        """Types of its events."""
        return [event.type for event in self.log]

    @property
    def steps(self) -> list[int]:
        """The outer steps that it told of, in order."""
        return [event.data["outer_step"] for event in self.log if event.type == "outer_step"]

    @property
    def result(self) -> TuneResult:
        """What it ended with."""
        with self.database.snapshot() as s:
            found = jobs.result(s, self.job_id, owner=LOCAL)
        assert found is not None, (self.job.state, self.job.failure)
        return timeless(found)

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is true of the job; an error where it ends badly first."""
        deadline = time.monotonic() + PATIENCE
        while not _whatever_the_database_does(true):
            assert time.monotonic() < deadline, self.types
            assert _whatever_the_database_does(lambda: self.job.state) != "failed", self.job.failure
            time.sleep(0.02)


@pytest.fixture
def watch(database: Database) -> Watch:
    """A job that waits."""
    return Watch(database, SPEC)


@pytest.fixture
def watch_response(database: Database) -> Watch:
    """A best-response job that waits."""
    return Watch(database, BEST_RESPONSE)


@pytest.fixture
def watch_in() -> Callable[[Database], Watch]:
    """Submits a job to a database and watches it."""
    return Watch


class Worker:
    """A worker process as ``windtunnel worker`` starts it."""

    def __init__(self, url: str, data_dir: Path, **settings: str) -> None:
        environment = {
            **os.environ,
            "WINDTUNNEL_DATABASE_URL": url,
            "WINDTUNNEL_DATA_DIR": str(data_dir),
            "WINDTUNNEL_THREADS": "1",
            "WINDTUNNEL_POLL": "0.05",
            "WINDTUNNEL_BEAT": "0.3",
            "WINDTUNNEL_LEASE_TTL": "4",
            "WINDTUNNEL_GRACE": "20",
            **settings,
        }
        celery = ["celery", "--quiet", "-A", "workers.celery_app", "worker", "--without-mingle", "--without-gossip"]
        program = celery if "WINDTUNNEL_BROKER_URL" in settings else ["workers.main"]
        self.process = psutil.Popen([sys.executable, "-m", *program], env=environment)

    def child(self) -> psutil.Process | None:
        """The job process, if there is one."""
        found = [child for child in self.process.children() if child.status() != psutil.STATUS_ZOMBIE]
        return found[0] if found else None

    def end(self) -> None:
        """Whatever it does now, it and its child are gone afterwards."""
        if self.process.poll() is None:
            for child in self.process.children():
                with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since it was listed
                    child.kill()
            self.process.kill()
        self.process.wait()


@pytest.fixture
def start_worker(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers on the test's database; all of them end with the test."""
    started: list[Worker] = []

    def start(**settings: str) -> Worker:
        started.append(Worker(database_url, tmp_path, **settings))
        return started[-1]

    yield start
    for worker in started:
        worker.end()


def is_gone(process: psutil.Process) -> bool:
    """Has it ended (its parent may not have noticed)?"""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def gone() -> Callable[[psutil.Process], bool]:
    """Tells whether a process has ended."""
    return is_gone


@pytest.fixture
def worker_class() -> type[Worker]:
    """What a worker process is started with."""
    return Worker
