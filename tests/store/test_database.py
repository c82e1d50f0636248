"""Opening databases: what SQLite is told, what a snapshot may not do, whose clock counts."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from store import jobs
from store.database import Database
from store.dialect import now
from store.keys import LOCAL
from windtunnel.types import JobSpec


def test_a_snapshot_refuses_to_write(database: Database, spec: JobSpec) -> None:
    with database.snapshot() as s, pytest.raises(DBAPIError, match=r"readonly|read-only"):
        jobs.submit(s, spec, owner=LOCAL)
    with database.transaction() as s:
        jobs.submit(s, spec, owner=LOCAL)


def test_a_snapshot_does_not_see_what_is_written_meanwhile(database: Database, spec: JobSpec) -> None:
    with database.snapshot() as s:
        assert jobs.page(s, owner=LOCAL).items == []
        with database.transaction() as writer:
            jobs.submit(writer, spec, owner=LOCAL)
        assert jobs.page(s, owner=LOCAL).items == []
    with database.snapshot() as s:
        assert len(jobs.page(s, owner=LOCAL).items) == 1


def test_the_clock_is_the_databases_and_moves_within_a_transaction(database: Database) -> None:
    with database.transaction() as s:
        first = s.scalar(select(now()))
        deadline = time.monotonic() + 10
        while s.scalar(select(now())) == first:
            assert time.monotonic() < deadline
    assert first == pytest.approx(time.time(), abs=60)


def test_a_state_that_does_not_exist_is_refused_by_the_database(database: Database, submitted: str) -> None:
    def write(statement: str) -> None:
        with database.transaction() as s:
            s.execute(text(statement))

    with pytest.raises(IntegrityError, match="ck_jobs_known_state"):
        write("UPDATE jobs SET state = 'asleep', next_ring_at = NULL")
    with pytest.raises(IntegrityError, match="ck_jobs_lease_while_running"):
        write("UPDATE jobs SET state = 'running', next_ring_at = NULL")
    with pytest.raises(IntegrityError):
        write("INSERT INTO metrics VALUES ('job_nowhere', 'loss', 0, 1.0)")


def test_sqlite_writers_wait_for_each_other_instead_of_failing(sqlite_url: str, spec: JobSpec) -> None:
    database = Database(sqlite_url)

    def write() -> None:
        for _ in range(10):
            with database.transaction() as s:
                jobs.page(s, owner=LOCAL)  # read first: a deferred transaction would fail when it comes to write
                jobs.submit(s, spec, owner=LOCAL)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.snapshot() as s:
        assert len(jobs.page(s, limit=100, owner=LOCAL).items) == 40
    database.dispose()


def test_sqlite_is_opened_as_it_should_be_and_makes_its_folder(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/deep/down/windtunnel.db")
    with database.snapshot() as s:
        told = {name: s.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "busy_timeout", "foreign_keys")}
    assert told == {"journal_mode": "wal", "busy_timeout": 5000, "foreign_keys": 1}
    database.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name", "nonsense"])
def test_an_address_that_cannot_work_is_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: sqlite:///path/to/file\.db or postgresql://"):
        Database(url)
