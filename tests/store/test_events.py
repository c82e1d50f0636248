"""The event log: dense numbers, exact replay, on both databases."""

import threading
from typing import get_args

import pytest

from store import checkpoints, events, jobs, leases
from store.database import Database
from store.errors import JobNotFound
from store.keys import LOCAL
from windtunnel.types import EventType, Failure, JobSpec, OtherEvent, TuneResult
from windtunnel.types.events import EVENT_DETAILS


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
        assert [event.seq for event in events.after(s, submitted, 0, owner=LOCAL)] == list(range(1, 42))


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
        told = events.after(s, submitted, 3, limit=2, owner=LOCAL)
        assert [(event.seq, event.data["outer_step"]) for event in told] == [(4, 2), (5, 3)]
        assert told[0].data["loss"] == 0.1 + 0.2
        assert told[0].at.utcoffset() is not None
        assert events.after(s, submitted, 6, owner=LOCAL) == []


def test_jobs_count_their_events_apart(database: Database, submitted: str, spec: JobSpec) -> None:
    with database.transaction() as s:
        other = jobs.submit(s, spec, owner=LOCAL).id
        assert events.append(s, submitted, "finishing", {}) == 2
        assert events.append(s, other, "finishing", {}) == 2


def test_the_last_event_of_a_type_is_found(database: Database, submitted: str) -> None:
    with database.transaction() as s:
        assert [each.data for each in events.history(s, submitted, owner=LOCAL) if each.type == "outer_step"] == []
        for step in range(3):
            events.append(s, submitted, "outer_step", {"outer_step": step})
        events.append(s, submitted, "finishing", {})
        assert [each.data for each in events.history(s, submitted, owner=LOCAL) if each.type == "outer_step"][-1] == {
            "outer_step": 2
        }


def test_the_log_of_an_unknown_job_is_an_error(database: Database) -> None:
    with database.transaction() as s:
        with pytest.raises(JobNotFound):
            events.after(s, "job_nowhere", 0, owner=LOCAL)
        with pytest.raises(JobNotFound):
            events.append(s, "job_nowhere", "finishing", {})


def test_what_json_cannot_say_is_refused_on_both_databases(database: Database, submitted: str) -> None:
    from sqlalchemy.exc import StatementError

    def write() -> None:
        with database.transaction() as s:
            events.append(s, submitted, "outer_step", {"loss": float("nan")})

    with pytest.raises((StatementError, ValueError), match="not JSON compliant"):
        write()


def test_what_is_written_is_all_of_the_model_of_its_type(
    database: Database, submitted: str, spec: JobSpec, tune_result: TuneResult
) -> None:
    failure = Failure(type="crashed", message="killed", hint="less memory")

    def claimed(job_id: str) -> leases.Lease:
        lease = leases.claim(s, job_id, "worker", 60)
        assert lease is not None
        return lease

    with database.transaction() as s:
        lease = claimed(submitted)
        checkpoints.record(s, lease, outer_step=3, path="3", manifest_sha256="0" * 64)
        checkpoints.reject(s, lease, checkpoints.newest_first(s, submitted)[0], "truncated")
        leases.shrink(s, lease, 4, "memory ran out")
        leases.crashed(s, claimed(submitted), failure)
        lease = claimed(submitted)
        jobs.request_pause(s, submitted, owner=LOCAL)
        leases.release(s, lease, "pause")
        jobs.resume(s, submitted, owner=LOCAL)
        leases.succeed(s, claimed(submitted), tune_result)
        leases.fail(s, claimed(failed := jobs.submit(s, spec, owner=LOCAL).id), failure)
        jobs.request_pause(s, cancelled := jobs.submit(s, spec, owner=LOCAL).id, owner=LOCAL)
        jobs.request_cancel(s, cancelled, owner=LOCAL)
    with database.snapshot() as s:
        log = [event for job_id in (submitted, failed, cancelled) for event in events.after(s, job_id, 0, owner=LOCAL)]
    for event in log:
        assert event.details.model_dump(mode="json", exclude_unset=True) == event.data, event.type
    of_workers = {"outer_step", "finishing", "plan_created", "plan_refused"}
    assert {event.type for event in log} == set(get_args(EventType)) - of_workers


def test_there_is_a_model_for_each_type_and_other_types_can_be_read(database: Database, submitted: str) -> None:
    assert set(EVENT_DETAILS) == set(get_args(EventType))
    with database.snapshot() as s:
        event = events.after(s, submitted, 0, owner=LOCAL)[0].model_copy(update={"type": "from_tomorrow", "data": {"a": 1}})
    read = type(event).model_validate_json(event.model_dump_json())
    assert read.details == OtherEvent(type="from_tomorrow", data={"a": 1})
