"""Submitting, reading, listing and cancelling jobs, on both databases."""

import threading
from collections.abc import Callable

import pytest

from store import events, jobs, leases, outbox
from store.database import Database
from store.errors import IdempotencyConflict, InvalidCursor, JobNotFound
from store.keys import LOCAL
from store.leases import Lease
from windtunnel.types import JobSpec, TuneResult


def types(database: Database, job_id: str) -> list[str]:
    with database.snapshot() as s:
        return [event.type for event in events.after(s, job_id, 0, owner=LOCAL)]


def test_a_submitted_job_waits_and_says_so(database: Database, spec: JobSpec) -> None:
    with database.transaction() as s:
        job = jobs.submit(s, spec, owner=LOCAL)
    assert (job.state, job.progress.phase, job.attempts, job.worker, job.plans) == ("queued", "waiting", 0, None, [])
    assert job.spec == spec
    assert types(database, job.id) == ["queued"]


def test_nothing_of_a_transaction_that_fails_is_left(database: Database, spec: JobSpec) -> None:
    def submit_and_fail() -> None:
        with database.transaction() as s:
            jobs.submit(s, spec, idempotency_key="k", owner=LOCAL)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        submit_and_fail()
    with database.snapshot() as s:
        assert jobs.page(s, owner=LOCAL).items == []
    with database.transaction() as s:
        assert jobs.submit(s, spec, idempotency_key="k", owner=LOCAL).attempts == 0


def test_a_spec_whose_default_start_lies_outside_its_range_comes_back_whole(database: Database) -> None:
    spec = JobSpec.model_validate({"task": "digits", "search": [{"name": "learning_rate", "low": 0.01, "high": 1.0}]})
    with database.transaction() as s:
        job = jobs.submit(s, spec, owner=LOCAL)
    with database.snapshot() as s:
        assert jobs.get(s, job.id, owner=LOCAL).spec == spec


def test_an_unknown_job_is_an_error_everywhere(database: Database) -> None:
    with database.transaction() as s:
        for ask in (jobs.get, jobs.request_cancel, jobs.result):
            with pytest.raises(JobNotFound, match="job_nowhere"):
                ask(s, "job_nowhere", owner=LOCAL)


def test_the_same_key_and_spec_give_the_same_job(database: Database, spec: JobSpec) -> None:
    with database.transaction() as s:
        first = jobs.submit(s, spec, idempotency_key="k", owner=LOCAL)
    with database.transaction() as s:
        assert jobs.submit(s, JobSpec(task="digits", seed=0), idempotency_key="k", owner=LOCAL).id == first.id
        assert jobs.submit(s, spec, idempotency_key="other", owner=LOCAL).id != first.id
        assert jobs.submit(s, spec, owner="somebody", idempotency_key="k").id != first.id


def test_the_same_key_with_another_spec_is_a_conflict_that_leaves_nothing(database: Database, spec: JobSpec) -> None:
    with database.transaction() as s:
        jobs.submit(s, spec, idempotency_key="k", owner=LOCAL)

    def again() -> None:
        with database.transaction() as s:
            jobs.submit(s, JobSpec(task="digits", seed=1), idempotency_key="k", owner=LOCAL)

    with pytest.raises(IdempotencyConflict, match="'k'"):
        again()
    with database.snapshot() as s:
        assert len(jobs.page(s, owner=LOCAL).items) == 1


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_of_no_sensible_length_is_refused(database: Database, spec: JobSpec, key: str) -> None:
    with database.transaction() as s, pytest.raises(ValueError, match="1 to 200 characters"):
        jobs.submit(s, spec, idempotency_key=key, owner=LOCAL)


def test_one_key_sent_by_many_at_once_makes_one_job(database: Database, spec: JobSpec) -> None:
    barrier = threading.Barrier(6)
    made: list[str] = []

    def submit() -> None:
        barrier.wait()
        with database.transaction() as s:
            made.append(jobs.submit(s, spec, idempotency_key="k", owner=LOCAL).id)

    together(submit, 6)
    assert len(made) == 6 and len(set(made)) == 1
    with database.snapshot() as s:
        assert len(jobs.page(s, owner=LOCAL).items) == 1


def together(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_pages_are_newest_first_and_no_new_job_moves_them(database: Database) -> None:
    with database.transaction() as s:
        ids = [jobs.submit(s, JobSpec(task="digits", seed=seed), owner=LOCAL).id for seed in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        with database.snapshot() as s:
            page = jobs.page(s, limit=3, cursor=cursor, owner=LOCAL)
        seen += [job.id for job in page.items]
        with database.transaction() as s:
            jobs.submit(s, JobSpec(task="synthetic"), owner=LOCAL)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_a_page_that_ends_exactly_at_the_last_job_has_no_next_one(database: Database, spec: JobSpec) -> None:
    with database.transaction() as s:
        for _ in range(3):
            jobs.submit(s, spec, owner=LOCAL)
        assert jobs.page(s, limit=3, owner=LOCAL).next_cursor is None
        assert jobs.page(s, limit=2, owner=LOCAL).next_cursor is not None


def test_a_page_of_nothing_is_refused(database: Database) -> None:
    with database.snapshot() as s, pytest.raises(ValueError, match="at least 1"):
        jobs.page(s, limit=0, owner=LOCAL)


def test_pages_filter_by_state_and_task(database: Database, lease: Lease) -> None:
    with database.transaction() as s:
        other = jobs.submit(s, JobSpec(task="synthetic"), owner=LOCAL).id
    with database.snapshot() as s:
        assert [job.id for job in jobs.page(s, state="running", owner=LOCAL).items] == [lease.job_id]
        assert [job.id for job in jobs.page(s, task="synthetic", owner=LOCAL).items] == [other]
        assert jobs.page(s, state="running", task="synthetic", owner=LOCAL).items == []


def test_search_finds_pieces_of_names_tasks_and_ends_of_ids_and_takes_every_sign_as_it_is(database: Database) -> None:
    names = ("First Flight", "100% wool", "100 % off", "snake_case", "snakeXcase", "a/b \\\\ c", 'It\'s "quoted"', "Größe")
    with database.transaction() as s:
        ids = {name: jobs.submit(s, JobSpec(task="digits", name=name), owner=LOCAL).id for name in names}
        ids["other"] = jobs.submit(s, JobSpec(task="synthetic", name="other"), owner=LOCAL).id
        jobs.submit(s, JobSpec(task="digits", name="First Flight"), owner="ann")
    wanted = {
        "flight": ["First Flight"],
        "0%": ["100% wool"],
        "%": ["100 % off", "100% wool"],
        "e_c": ["snake_case"],
        "/": ["a/b \\\\ c"],
        "\\\\": ["a/b \\\\ c"],
        "'s \"q": ['It\'s "quoted"'],
        "größe": ["Größe"],
        "THETIC": ["other"],
        "job_": [],
        ids["other"]: ["other"],
        ids["snake_case"][-8:].upper(): ["snake_case"],
        "no such": [],
    }
    with database.snapshot() as s:
        for search, found in wanted.items():
            assert [job.name for job in jobs.page(s, search=search, owner=LOCAL).items] == found, search
        assert jobs.page(s, search="flight", state="failed", owner=LOCAL).items == []
        first = jobs.page(s, search="snake", limit=1, owner=LOCAL)
        older = jobs.page(s, search="snake", limit=1, cursor=first.next_cursor, owner=LOCAL)
        assert [job.name for job in (*first.items, *older.items)] == ["snakeXcase", "snake_case"]


@pytest.mark.parametrize("cursor", ["", "job_1", "???", "bm9uc2Vuc2U", "é", "am9iXzE=", "4pi6", "am9iXwA"])
def test_a_made_up_cursor_is_refused(database: Database, cursor: str) -> None:
    with database.snapshot() as s, pytest.raises(InvalidCursor):
        jobs.page(s, cursor=cursor, owner=LOCAL)


def test_a_queued_job_is_cancelled_at_once(database: Database, submitted: str) -> None:
    with database.transaction() as s:
        job = jobs.request_cancel(s, submitted, owner=LOCAL)
    assert (job.state, job.cancel_requested) == ("cancelled", True)
    assert job.finished_at is not None
    assert types(database, submitted) == ["queued", "cancel_requested", "cancelled"]
    with database.transaction() as s:
        assert outbox.due(s, 10) == []
        assert leases.claim(s, submitted, "worker", 60) is None


def test_cancelling_a_running_job_asks_its_worker_once(database: Database, lease: Lease) -> None:
    for _ in range(2):
        with database.transaction() as s:
            job = jobs.request_cancel(s, lease.job_id, owner=LOCAL)
        assert (job.state, job.cancel_requested) == ("running", True)
    assert types(database, lease.job_id) == ["queued", "started", "cancel_requested"]
    with database.transaction() as s:
        assert leases.beat(s, lease, 60).cancel
        leases.mark_cancelled(s, lease)
    with database.snapshot() as s:
        assert jobs.get(s, lease.job_id, owner=LOCAL).state == "cancelled"


def test_cancelling_a_job_that_has_ended_changes_nothing(database: Database, lease: Lease, tune_result: TuneResult) -> None:
    with database.transaction() as s:
        leases.succeed(s, lease, tune_result)
    with database.snapshot() as s:
        before = jobs.get(s, lease.job_id, owner=LOCAL)
    with database.transaction() as s:
        assert jobs.request_cancel(s, lease.job_id, owner=LOCAL) == before


def test_a_result_comes_back_bit_for_bit(database: Database, lease: Lease, tune_result: TuneResult) -> None:
    with database.snapshot() as s:
        assert jobs.result(s, lease.job_id, owner=LOCAL) is None
    with database.transaction() as s:
        leases.succeed(s, lease, tune_result)
    with database.snapshot() as s:
        assert jobs.result(s, lease.job_id, owner=LOCAL) == tune_result


def test_attempts_tell_who_ran_the_job_and_how_it_ended(database: Database, lease: Lease, tune_result: TuneResult) -> None:
    with database.transaction() as s:
        leases.release(s, lease, "the worker stops")
        second = leases.claim(s, lease.job_id, "worker-2", 60)
        assert second is not None
        leases.succeed(s, second, tune_result)
    with database.snapshot() as s:
        told = [(attempt.epoch, attempt.worker, attempt.outcome) for attempt in jobs.attempts(s, lease.job_id, owner=LOCAL)]
    assert told == [(1, "worker-1", "released"), (2, "worker-2", "succeeded")]
