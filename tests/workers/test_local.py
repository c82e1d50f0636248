"""The local dispatcher on both databases: jobs run to their end, the dead are noticed, stopping loses nothing."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store import events, jobs, leases, workers
from store.database import Database
from windtunnel.types import TERMINAL_STATES, JobSpec
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

PATIENCE = 90.0


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def local(database: Database, database_url: str, tmp_path: Path) -> Iterator[LocalDispatcher]:
    settings = WorkerSettings(
        database_url=database_url, data_dir=tmp_path, slots=2, threads=1, poll=0.05, beat=0.3, lease_ttl=20, grace=20
    )
    dispatcher = LocalDispatcher(database, settings)
    yield dispatcher
    dispatcher.stop()


def submit(database: Database, spec: JobSpec) -> str:
    with database.transaction() as s:
        return jobs.submit(s, spec).id


def state(database: Database, job_id: str) -> str:
    with database.snapshot() as s:
        return jobs.get(s, job_id).state


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_two_slots_run_two_jobs_to_their_end(local: LocalDispatcher, database: Database, tiny: JobSpec) -> None:
    waiting = [submit(database, tiny.model_copy(update={"seed": seed})) for seed in range(2)]
    assert not local.alive
    local.start()
    assert local.alive
    wait_until(lambda: all(state(database, job_id) in TERMINAL_STATES for job_id in waiting))
    assert [state(database, job_id) for job_id in waiting] == ["succeeded", "succeeded"]
    with database.snapshot() as s:
        ran = {jobs.attempts(s, job_id)[0].worker for job_id in waiting}
        assert len(ran) == 2
        assert {worker.id for worker in workers.listing(s)} == ran
    local.stop()
    assert not local.alive
    with database.snapshot() as s:
        assert workers.listing(s) == []


def test_stopping_puts_running_jobs_back(local: LocalDispatcher, database: Database, tiny: JobSpec) -> None:
    job_id = submit(database, tiny.model_copy(update={"outer": tiny.outer.model_copy(update={"steps": 900})}))
    local.start()
    wait_until(lambda: state(database, job_id) == "running")
    local.stop()
    assert state(database, job_id) == "queued"


def test_a_job_whose_worker_on_this_machine_died_goes_on_long_before_its_lease_ends(
    local: LocalDispatcher, database: Database, tiny: JobSpec
) -> None:
    job_id = submit(database, tiny)
    program = "from workers import identity; print(identity.worker_id(0))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    with database.transaction() as s:
        assert leases.claim(s, job_id, ended.stdout.strip(), 3600) is not None
    local.start()
    wait_until(lambda: len(told(database, job_id)) > 4)
    assert told(database, job_id)[:5] == ["queued", "started", "crashed", "requeued", "started"]


def told(database: Database, job_id: str) -> list[str]:
    with database.snapshot() as s:
        return [event.type for event in events.after(s, job_id, 0)]


def test_a_dispatcher_starts_once(local: LocalDispatcher) -> None:
    local.start()
    with pytest.raises(RuntimeError, match="starts once"):
        local.start()
