"""The event log: dense numbers, exact replay, on both databases."""

import threading

import pytest

from store import events
from store.database import Database
from store.errors import JobNotFound
from windtunnel.types import JobSpec


def test_numbers_are_dense_when_many_write_at_once(database: Database, submitted: str) -> None:
    def write() -> None:
        for _ in range(10):
            with database.transaction() as s:
                events.append(s, submitted, "outer_step", {})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.snapshot() as s:
        assert [event.seq for event in events.after(s, submitted, 0)] == list(range(1, 42))


def test_a_transaction_that_fails_leaves_no_gap(database: Database, submitted: str) -> None:
    def fail() -> None:
        with database.transaction() as s:
            events.append(s, submitted, "finishing", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.transaction() as s:
        assert events.append(s, submitted, "finishing", {}) == 2


def test_replay_starts_right_after_the_number_given(database: Database, submitted: str) -> None:
    with database.transaction() as s:
        for step in range(5):
            events.append(s, submitted, "outer_step", {"outer_step": step, "loss": 0.1 + 0.2})
    with database.snapshot() as s:
        told = events.after(s, submitted, 3, limit=2)
        assert [(event.seq, event.data["outer_step"]) for event in told] == [(4, 2), (5, 3)]
        assert told[0].data["loss"] == 0.1 + 0.2
        assert told[0].at.utcoffset() is not None
        assert events.after(s, submitted, 6) == []


def test_jobs_count_their_events_apart(database: Database, submitted: str, spec: JobSpec) -> None:
    from store import jobs

    with database.transaction() as s:
        other = jobs.submit(s, spec).id
        assert events.append(s, submitted, "finishing", {}) == 2
        assert events.append(s, other, "finishing", {}) == 2


def test_the_last_event_of_a_type_is_found(database: Database, submitted: str) -> None:
    with database.transaction() as s:
        assert events.last(s, submitted, "outer_step") is None
        for step in range(3):
            events.append(s, submitted, "outer_step", {"outer_step": step})
        events.append(s, submitted, "finishing", {})
        assert events.last(s, submitted, "outer_step") == {"outer_step": 2}


def test_the_log_of_an_unknown_job_is_an_error(database: Database) -> None:
    with database.transaction() as s:
        with pytest.raises(JobNotFound):
            events.after(s, "job_nowhere", 0)
        with pytest.raises(JobNotFound):
            events.append(s, "job_nowhere", "finishing", {})


def test_what_json_cannot_say_is_refused_on_both_databases(database: Database, submitted: str) -> None:
    from sqlalchemy.exc import StatementError

    def write() -> None:
        with database.transaction() as s:
            events.append(s, submitted, "outer_step", {"loss": float("nan")})

    with pytest.raises((StatementError, ValueError), match="not JSON compliant"):
        write()
