"""Kill or suspend any process of a job: it ends once, with bit for bit the result of an undisturbed run."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from store import jobs
from store.database import Database
from store.errors import DATABASE_ERRORS
from store.keys import LOCAL
from windtunnel.types import TuneResult

pytestmark = pytest.mark.slow

# Where the database plays no part in what is tested, one kind is enough.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

OUTER_STEPS = [0, 1, 2, 3, 4]


def killable(watch, worker, step: int) -> psutil.Process:
    """The job process, once the job has told of this outer step."""
    watch.until(lambda: step in watch.steps and worker.child() is not None)
    child: psutil.Process = worker.child()
    return child


def stands_still(process: psutil.Process) -> bool:
    """Is every thread of it stopped?"""
    files = Path(f"/proc/{process.pid}/task").glob("*/stat")
    try:
        return {path.read_text().rpartition(")")[2].split()[0] for path in files} == {"T"}
    except OSError:  # a thread ended meanwhile
        return False


def suspended_outside_a_transaction(database: Database, *processes: psutil.Process) -> None:
    """Suspend them at a moment when none holds SQLite's one lock for writers, which it would hold as long as it sleeps."""
    while True:
        for process in processes:
            process.suspend()
        # A thread that is within the kernel when it is told may still come by the lock on its way to a stop.
        while not all(stands_still(process) for process in processes):
            os.sched_yield()
        try:
            with database.transaction() as s:
                s.connection()  # a transaction takes the lock with its first use
                return
        except DATABASE_ERRORS:
            for process in processes:
                process.resume()


def test_sigkill_of_the_process_then_of_its_supervisor_then_of_both(
    watch, start_worker, undisturbed: TuneResult, gone: Callable[[psutil.Process], bool]
) -> None:
    chance = random.Random(20)
    first, second, third = sorted(chance.sample(range(4), 3))
    worker = start_worker()
    killable(watch, worker, first).kill()
    child = killable(watch, worker, second)
    worker.process.kill()
    watch.until(lambda: gone(child))  # nobody holds its lifeline any more
    worker = start_worker()
    child = killable(watch, worker, third)
    worker.process.kill()
    child.kill()
    start_worker()
    watch.until(lambda: watch.job.state == "succeeded")
    assert watch.steps == OUTER_STEPS
    assert watch.result == undisturbed
    kinds = watch.types
    assert kinds.count("crashed") == 3 and kinds.count("succeeded") == 1 and kinds[-1] == "succeeded"


@on_sqlite
def test_sigkill_in_the_middle_of_a_best_response_run(
    watch_response, start_worker, undisturbed_response: TuneResult, gone: Callable[[psutil.Process], bool]
) -> None:
    watch, worker = watch_response, start_worker()
    killable(watch, worker, 1).kill()
    child = killable(watch, worker, 2)
    worker.process.kill()
    watch.until(lambda: gone(child))
    start_worker()
    watch.until(lambda: watch.job.state == "succeeded")
    assert watch.steps == OUTER_STEPS
    assert watch.result == undisturbed_response
    assert watch.types.count("crashed") == 2


@on_sqlite
def test_a_worker_that_is_suspended_past_its_lease_writes_nothing_when_it_wakes(
    watch, start_worker, database: Database, undisturbed: TuneResult, gone: Callable[[psutil.Process], bool]
) -> None:
    zombie = start_worker()
    child = killable(watch, zombie, 1)
    suspended_outside_a_transaction(database, zombie.process, child)
    start_worker()
    watch.until(lambda: watch.job.state == "succeeded")
    log = watch.log
    zombie.process.resume()
    child.resume()
    watch.until(lambda: gone(child))
    assert watch.log == log
    assert watch.steps == OUTER_STEPS
    assert watch.result == undisturbed


@on_sqlite
def test_a_cancelled_job_ends_cancelled_with_its_process_gone(
    watch, start_worker, database: Database, gone: Callable[[psutil.Process], bool]
) -> None:
    worker = start_worker()
    child = killable(watch, worker, 0)
    with database.transaction() as s:
        jobs.request_cancel(s, watch.job_id, owner=LOCAL)
    watch.until(lambda: watch.job.state in ("cancelled", "succeeded"))
    assert watch.job.state == "cancelled"
    assert gone(child)
    assert watch.types[-1] == "cancelled"


@on_sqlite
def test_a_worker_that_is_asked_to_stop_leaves_its_job_to_the_next_one(watch, start_worker) -> None:
    first = start_worker()
    killable(watch, first, 1)
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(timeout=60) == 0
    assert watch.job.state == "queued" and "crashed" not in watch.types
    done = watch.steps[-1]
    start_worker()
    watch.until(lambda: watch.job.state == "running")
    assert watch.log[-1].data["resumed_from"] == done >= 1
