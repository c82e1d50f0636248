"""Jobs small enough to run whole in a test, and what it takes to run them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store import jobs, leases
from store.database import Database
from store.keys import LOCAL
from store.leases import Lease
from windtunnel.types import JobSpec
from workers.run_slice import Pulse
from workers.settings import WorkerSettings

TINY = {
    "task": "digits",
    "model": {"width": 8},
    "inner": {"steps": 8, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 3, "finish_seeds": 2},
}


@pytest.fixture
def tiny() -> JobSpec:
    """A real job of well under a second."""
    return JobSpec.model_validate(TINY)


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> WorkerSettings:
    """One slot, one thread, short times."""
    return WorkerSettings(
        database_url=sqlite_url, data_dir=tmp_path, threads=1, poll=0.05, beat=0.3, lease_ttl=10, grace=20
    )


@pytest.fixture
def sqlite(settings: WorkerSettings) -> Iterator[Database]:
    """The open database of ``settings``."""
    database = Database(settings.url)
    yield database
    database.dispose()


@pytest.fixture
def claimed(sqlite: Database) -> Callable[[JobSpec | str], Lease]:
    """Submits a spec, or takes the id of a job, and claims it for a minute."""

    def claim(what: JobSpec | str) -> Lease:
        with sqlite.transaction() as s:
            job_id = what if isinstance(what, str) else jobs.submit(s, what, owner=LOCAL).id
            lease = leases.claim(s, job_id, "worker", 60)
        assert lease is not None
        return lease

    return claim


@pytest.fixture
def dots() -> Iterator[int]:
    """The writing end of a pipe; the reading end stays open until the test is over."""
    reading, writing = os.pipe()
    yield writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def pulse(dots: int) -> Pulse:
    """What a study reports to."""
    return Pulse(dots)
