"""The list of workers, on both databases."""

from datetime import UTC, datetime

from sqlalchemy import update

from store import workers
from store.database import Database
from store.tables import workers as table
from windtunnel.types.estimates import MachineSpeed

STARTED = datetime(2024, 2, 29, 12, tzinfo=UTC)


def seen(database: Database, worker_id: str, job_id: str | None = None) -> None:
    with database.transaction() as s:
        workers.seen(s, worker_id, host="h", device="cpu", threads=2, started_at=STARTED, job_id=job_id)


def test_a_worker_is_listed_once_with_what_it_does_now(database: Database) -> None:
    seen(database, "b")
    seen(database, "a")
    seen(database, "a", "job_1")
    with database.snapshot() as s:
        first, second = workers.listing(s)
    assert (first.id, first.job_id, first.started_at, first.threads) == ("a", "job_1", STARTED, 2)
    assert (second.id, second.job_id) == ("b", None)
    assert first.seen_at > STARTED


def test_a_workers_speed_stays_when_it_is_seen_again(database: Database) -> None:
    speed = MachineSpeed(dispatch_seconds=1e-5, flops_per_second=5e10, bytes_per_second=1e10)
    seen(database, "a")
    with database.transaction() as s:
        assert workers.listing(s)[0].speed is None
        workers.measured(s, "a", speed)
        workers.measured(s, "unknown", speed)
    seen(database, "a", "job_1")
    with database.snapshot() as s:
        (worker,) = workers.listing(s)
    assert worker.speed == speed and worker.job_id == "job_1"


def test_a_worker_that_stops_leaves_the_list(database: Database) -> None:
    seen(database, "a")
    with database.transaction() as s:
        workers.gone(s, "a")
        assert workers.listing(s) == []


def test_a_worker_that_fell_silent_is_forgotten_after_a_day(database: Database) -> None:
    seen(database, "silent")
    with database.transaction() as s:
        s.execute(update(table).values(seen_at=table.c.seen_at - workers.FORGOTTEN_AFTER - 1))
    seen(database, "alive")
    with database.snapshot() as s:
        assert [worker.id for worker in workers.listing(s)] == ["alive"]
