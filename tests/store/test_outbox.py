"""Which jobs ring, and in what order: fair shares over owners, back-off, no two dispatchers for one ring."""

import threading

import pytest

from store import jobs, leases, outbox
from store.database import Database
from windtunnel.types import JobSpec


def submit(database: Database, owner: str) -> str:
    with database.transaction() as s:
        return jobs.submit(s, JobSpec(task="digits"), owner=owner).id


def due(database: Database, limit: int) -> list[str]:
    with database.transaction() as s:
        return outbox.due(s, limit)


def claim(database: Database, job_id: str) -> leases.Lease:
    with database.transaction() as s:
        lease = leases.claim(s, job_id, "worker", 60)
    assert lease is not None
    return lease


def test_a_job_that_nobody_claims_rings_again_later_and_later(database: Database) -> None:
    waiting = submit(database, "ada")
    assert due(database, 10) == [waiting]
    assert due(database, 10) == []
    lease = claim(database, waiting)
    with database.transaction() as s:
        leases.release(s, lease, "drain")
    assert due(database, 10) == [waiting]


def test_jobs_of_one_owner_ring_in_the_order_in_which_they_were_queued(database: Database) -> None:
    ids = [submit(database, "ada") for _ in range(4)]
    assert due(database, 3) == ids[:3]
    assert due(database, 3) == ids[3:]


def test_owners_take_turns_however_many_jobs_each_has(database: Database) -> None:
    many = [submit(database, "ada") for _ in range(5)]
    few = [submit(database, "bob") for _ in range(2)]
    assert due(database, 7) == [many[0], few[0], many[1], few[1], *many[2:]]


def test_who_has_jobs_running_waits_for_who_has_none(database: Database) -> None:
    running = submit(database, "ada")
    claim(database, running)
    first, second = submit(database, "ada"), submit(database, "bob")
    assert due(database, 2) == [second, first]


def test_with_one_worker_the_owner_who_was_served_longest_ago_is_next(database: Database) -> None:
    waiting = {owner: [submit(database, owner) for _ in range(3)] for owner in ("ada", "bob")}
    served = []
    for _ in range(4):
        with database.transaction() as s:
            (next_one,) = outbox.due(s, 1)
            lease = leases.claim(s, next_one, "worker", 60)
            assert lease is not None
            leases.release(s, lease, "its slice is over")
        served.append(next_one)
    assert [next(owner for owner, ids in waiting.items() if job_id in ids) for job_id in served] == ["ada", "bob"] * 2


def test_paused_jobs_do_not_ring(database: Database) -> None:
    waiting = submit(database, "ada")
    with database.transaction() as s:
        jobs.request_pause(s, waiting, owner="ada")
    assert due(database, 10) == []
    with database.transaction() as s:
        jobs.resume(s, waiting, owner="ada")
    assert due(database, 10) == [waiting]


def test_an_attempt_knows_when_its_ring_went_out(database: Database) -> None:
    waiting = submit(database, "ada")
    due(database, 1)
    claim(database, waiting)
    with database.snapshot() as s:
        (attempt,) = jobs.attempts(s, waiting, owner="ada")
    assert attempt.rung_at is not None and attempt.rung_at <= attempt.started_at


@pytest.mark.parametrize("dispatchers", [4])
def test_many_dispatchers_at_once_ring_once_for_each_job(database: Database, dispatchers: int) -> None:
    waiting = [submit(database, "ada") for _ in range(12)]
    rung: list[str] = []
    together = threading.Barrier(dispatchers)

    def dispatch() -> None:
        together.wait()
        rung.extend(due(database, 12))

    threads = [threading.Thread(target=dispatch) for _ in range(dispatchers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rung) == sorted(waiting)
