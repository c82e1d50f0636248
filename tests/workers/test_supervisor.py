"""One job under a supervisor, with its real process: stop, stall, cancel, a lease that is taken away."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psutil
import pytest
from sqlalchemy import update

from store import checkpoints, events, jobs, leases, outbox, workers
from store.database import Database
from store.keys import LOCAL
from store.tables import jobs as jobs_table
from windtunnel.types import JobSpec
from workers.settings import WorkerSettings
from workers.supervisor import Supervisor, death

PATIENCE = 60.0
"""Seconds until something that must happen counts as not happening."""


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def process_of(job_id: str) -> psutil.Process | None:
    """The job's process, if it runs."""
    for child in psutil.Process().children():
        if child.status() != psutil.STATUS_ZOMBIE and job_id in child.cmdline():
            return child
    return None


@pytest.fixture
def queued(sqlite: Database, tiny: JobSpec) -> str:
    with sqlite.transaction() as s:
        return jobs.submit(s, tiny, owner=LOCAL).id


def types(database: Database, job_id: str) -> list[str]:
    with database.snapshot() as s:
        return [event.type for event in events.after(s, job_id, 0, owner=LOCAL)]


class Watched:
    """A supervisor at work in a thread."""

    def __init__(self, database: Database, settings: WorkerSettings, job_id: str) -> None:
        self.supervisor = Supervisor(database, settings, "worker")
        self.job_id = job_id
        self.thread = threading.Thread(target=self.supervisor.run, args=(job_id,))
        self.thread.start()

    def started(self) -> psutil.Process:
        wait_until(lambda: process_of(self.job_id) is not None)
        process = process_of(self.job_id)
        assert process is not None
        return process

    def ended(self) -> None:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        assert process_of(self.job_id) is None


@pytest.fixture
def watch(sqlite: Database, queued: str) -> Iterator[Callable[[WorkerSettings], Watched]]:
    begun: list[Watched] = []

    def begin(settings: WorkerSettings) -> Watched:
        begun.append(Watched(sqlite, settings, queued))
        return begun[-1]

    yield begin
    for watched in begun:
        watched.supervisor.stop()
        watched.thread.join(PATIENCE)


def test_a_stopped_supervisor_puts_its_job_back(watch, settings: WorkerSettings, sqlite: Database, queued: str) -> None:
    watched = watch(settings)
    watched.started()
    watched.supervisor.stop()
    watched.ended()
    assert types(sqlite, queued) == ["queued", "started", "requeued"]
    with sqlite.snapshot() as s:
        assert jobs.get(s, queued, owner=LOCAL).state == "queued"
        assert [attempt.outcome for attempt in jobs.attempts(s, queued, owner=LOCAL)] == ["released"]


def test_a_supervisor_that_is_stopped_before_it_starts_takes_nothing(
    settings: WorkerSettings, sqlite: Database, queued: str
) -> None:
    supervisor = Supervisor(sqlite, settings, "worker")
    supervisor.stop()
    supervisor.run(queued)
    assert types(sqlite, queued) == ["queued"]


def test_a_job_that_somebody_else_has_is_left_alone(settings: WorkerSettings, sqlite: Database, queued: str) -> None:
    with sqlite.transaction() as s:
        leases.claim(s, queued, "other", 60)
    Supervisor(sqlite, settings, "worker").run(queued)
    assert types(sqlite, queued) == ["queued", "started"]


def test_a_process_that_does_not_advance_is_stopped(watch, settings: WorkerSettings, sqlite: Database, queued: str) -> None:
    watch(settings.model_copy(update={"stall_timeout": 0.2})).ended()
    assert types(sqlite, queued) == ["queued", "started", "crashed", "requeued"]
    with sqlite.snapshot() as s:
        crash = [each.data for each in events.history(s, queued, owner=LOCAL) if each.type == "crashed"][-1]
    assert crash is not None and "no inner step for 0.2 s" in crash["failure"]["message"]


def test_a_cancel_ends_the_process_before_it_says_cancelled(
    watch, settings: WorkerSettings, sqlite: Database, queued: str
) -> None:
    watched = watch(settings)
    process = watched.started()
    with sqlite.transaction() as s:
        jobs.request_cancel(s, queued, owner=LOCAL)
    wait_until(lambda: "cancelled" in types(sqlite, queued))
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    watched.ended()
    with sqlite.snapshot() as s:
        assert jobs.get(s, queued, owner=LOCAL).state == "cancelled"


def test_a_process_that_ignores_the_request_to_stop_is_killed(
    watch, settings: WorkerSettings, sqlite: Database, queued: str
) -> None:
    watched = watch(settings.model_copy(update={"grace": 0.1}))
    process = watched.started()
    process.suspend()  # SIGTERM waits for it to wake; SIGKILL does not
    with sqlite.transaction() as s:
        jobs.request_cancel(s, queued, owner=LOCAL)
    watched.ended()
    assert types(sqlite, queued)[-2:] == ["cancel_requested", "cancelled"]


def test_a_supervisor_whose_lease_is_lost_kills_its_process_and_writes_nothing(
    watch, settings: WorkerSettings, sqlite: Database, queued: str
) -> None:
    watched = watch(settings)
    watched.started()
    with sqlite.transaction() as s:
        (lease,) = leases.running(s)
        leases.lost(s, lease, "taken away by the test")
        before = [event.type for event in events.after(s, queued, 0, owner=LOCAL)]
    watched.ended()
    assert types(sqlite, queued) == before


def test_a_process_whose_lease_cannot_be_renewed_ends_by_itself_and_the_job_goes_back(
    watch, settings: WorkerSettings, sqlite: Database, queued: str
) -> None:
    watched = watch(settings.model_copy(update={"lease_ttl": 2.0}))
    process = watched.started()
    with sqlite.transaction() as s:
        jobs.get(s, queued, owner=LOCAL)  # the write lock is ours, no beat gets through
        wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    watched.ended()
    with sqlite.snapshot() as s:
        put_back = [each.data for each in events.history(s, queued, owner=LOCAL) if each.type == "requeued"][-1]
    assert put_back is not None and put_back["reason"] == "the lease could not be renewed in time"


def test_a_slice_ends_at_a_checkpoint_when_another_job_waits_and_never_before_the_first(
    watch, settings: WorkerSettings, sqlite: Database, tiny: JobSpec, queued: str
) -> None:
    with sqlite.transaction() as s:
        other = jobs.submit(s, tiny, owner="somebody else").id
        s.execute(update(jobs_table).where(jobs_table.c.id == other).values(queued_at=jobs_table.c.queued_at - 60))
        s.execute(update(jobs_table).where(jobs_table.c.id == queued).values(spec=endless(tiny)))
    watched = watch(settings.model_copy(update={"slice": 0.01, "beat": 0.1}))
    watched.thread.join(PATIENCE)
    told = types(sqlite, queued)
    assert told[:3] == ["queued", "started", "outer_step"] and told[-2:] == ["outer_step", "requeued"]
    with sqlite.transaction() as s:
        assert (
            "slice"
            in [each.data for each in events.history(s, queued, owner=LOCAL) if each.type == "requeued"][-1]["reason"]
        )
        assert (
            checkpoints.newest_first(s, queued)[0].outer_step
            == [each.data for each in events.history(s, queued, owner=LOCAL) if each.type == "outer_step"][-1]["outer_step"]
        )
        assert outbox.due(s, 1) == [other], "whose turn it is"


def test_a_slice_goes_on_as_long_as_nobody_waits(watch, settings: WorkerSettings, sqlite: Database, queued: str) -> None:
    watched = watch(settings.model_copy(update={"slice": 0.01, "beat": 0.1}))
    watched.ended()
    assert types(sqlite, queued)[-1] == "succeeded" and "requeued" not in types(sqlite, queued)


def test_a_paused_job_leaves_its_worker_and_stays_where_it_is(
    watch, settings: WorkerSettings, sqlite: Database, queued: str
) -> None:
    watched = watch(settings)
    watched.started()
    with sqlite.transaction() as s:
        jobs.request_pause(s, queued, owner=LOCAL)
    watched.ended()
    assert types(sqlite, queued)[-2:] == ["pause_requested", "paused"]


def test_a_worker_that_is_drained_lets_go_and_takes_no_other(
    watch, settings: WorkerSettings, sqlite: Database, queued: str
) -> None:
    facts = {"host": "h", "device": "cpu", "threads": 1, "started_at": datetime.now(UTC)}
    with sqlite.transaction() as s:
        workers.seen(s, "worker", **facts, job_id=queued)
        workers.request_drain(s, "worker")
    watched = watch(settings)
    watched.ended()
    assert types(sqlite, queued)[-1] == "requeued"
    watched.supervisor.run(queued)
    assert types(sqlite, queued)[-1] == "requeued"


def endless(spec: JobSpec) -> dict[str, object]:
    """The spec with so many outer steps that no test waits for them."""
    return spec.model_copy(update={"outer": spec.outer.model_copy(update={"steps": 900})}).model_dump(mode="json")


def test_a_killed_process_is_a_crash_that_names_the_signal(
    watch, settings: WorkerSettings, sqlite: Database, queued: str
) -> None:
    watched = watch(settings)
    watched.started().kill()
    watched.ended()
    with sqlite.snapshot() as s:
        crash = [each.data for each in events.history(s, queued, owner=LOCAL) if each.type == "crashed"][-1]
    assert crash is not None and "SIGKILL" in crash["failure"]["message"] and "memory" in crash["failure"]["hint"]


def test_an_exit_with_no_result_is_a_crash_that_names_the_status() -> None:
    assert "exit status 1 " in death(1).message
    assert "SIGSEGV" in death(-11).message


def test_supervisors_and_dispatchers_never_touch_torch() -> None:
    program = "import sys, workers.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
