"""The database, the broker or the disk fails while a job runs: it ends once, with the result of an undisturbed run."""

import random
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from store import events
from store.database import Database
from store.keys import LOCAL
from windtunnel.types import TuneResult
from workers.celery_dispatcher import CeleryDispatcher
from workers.settings import WorkerSettings

pytestmark = pytest.mark.slow

OUTER_STEPS = [0, 1, 2, 3, 4]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_broker_loses_all_it_has_and_restarts(
    watch_in, start_worker, database: Database, database_url: str, redis_server, undisturbed: TuneResult, tmp_path: Path
) -> None:
    broker = {"WINDTUNNEL_BROKER_URL": redis_server.url}
    settings = WorkerSettings(database_url=database_url, data_dir=tmp_path, broker_url=redis_server.url, poll=0.05)
    dispatcher = CeleryDispatcher(database, settings)
    dispatcher.start()
    try:
        first = watch_in(database)
        start_worker(**broker)
        first.until(lambda: 0 in first.steps)
        redis_server.client.flushall()
        second = watch_in(database)
        first.until(lambda: 2 in first.steps)
        redis_server.kill()
        first.until(lambda: not dispatcher.alive)
        first.until(lambda: first.job.state == "succeeded")
        redis_server.start()
        second.until(lambda: second.job.state == "succeeded")
    finally:
        dispatcher.stop()
    for watch in (first, second):
        assert watch.result == undisturbed
        assert watch.steps == OUTER_STEPS
        assert watch.types.count("started") == watch.types.count("succeeded") == 1


def test_postgresql_is_killed_again_and_again_in_the_middle_of_transactions(
    watch_in, mortal_postgresql, tmp_path: Path, undisturbed: TuneResult, start_worker_on
) -> None:
    chance = random.Random(7)
    database = Database(mortal_postgresql.url)
    try:
        watch = watch_in(database)
        start_worker_on(mortal_postgresql.url, WINDTUNNEL_LEASE_TTL="20")
        for step in (0, 1, 3):
            watch.until(lambda step=step: step in watch.steps)
            threading.Event().wait(chance.uniform(0, 0.3))  # any moment will do, also one inside a commit
            mortal_postgresql.kill()
            mortal_postgresql.start()
        watch.until(lambda: watch.job.state == "succeeded")
        assert watch.result == undisturbed
        assert watch.steps == OUTER_STEPS
        log = watch.log
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        assert watch.types.count("succeeded") == 1
    finally:
        database.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_disk_is_full_when_a_checkpoint_is_due(
    watch, start_worker, database: Database, undisturbed: TuneResult, gone: Callable[[psutil.Process], bool]
) -> None:
    worker = start_worker()
    watch.until(lambda: 1 in watch.steps and worker.child() is not None)
    # The system refuses to write past this size, as it refuses a full disk's every byte.
    for process in (worker.process, worker.child()):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
    watch.until(lambda: "crashed" in watch.types)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    child = worker.child()
    if child is not None:
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    watch.until(lambda: watch.job.state == "succeeded")
    with database.snapshot() as s:
        crash = [each.data for each in events.history(s, watch.job_id, owner=LOCAL) if each.type == "crashed"][-1]
    assert crash is not None and "OSError" in crash["failure"]["message"]
    assert watch.steps == OUTER_STEPS
    assert watch.result == undisturbed


@pytest.fixture
def start_worker_on(tmp_path: Path, worker_class) -> Iterator[Callable[..., object]]:
    """Starts workers on any database; all of them end with the test."""
    started = []

    def start(url: str, **settings: str) -> object:
        started.append(worker_class(url, tmp_path, **settings))
        return started[-1]

    yield start
    for worker in started:
        worker.end()
