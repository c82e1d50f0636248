"""Two sides want different ends of a job at the same moment: one of them has it, and the log tells which."""

import threading
from collections.abc import Callable

import pytest

from store import events, jobs, leases
from store.database import Database
from store.errors import LeaseLost
from store.keys import LOCAL
from store.leases import Lease
from windtunnel.types import TERMINAL_STATES, Failure, JobSpec, JobState

ROUNDS = 12
FAILURE = Failure(type="diverged", message="all runs diverged")


def race(database: Database, *sides: Callable[[], None]) -> None:
    """Let all sides begin at once; a side that loses its lease has lost."""
    together = threading.Barrier(len(sides))

    def begin(side: Callable[[], None]) -> None:
        together.wait()
        try:
            side()
        except LeaseLost:
            return

    threads = [threading.Thread(target=begin, args=(side,)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def claimed(database: Database, ttl: float = 60) -> Lease:
    with database.transaction() as s:
        lease = leases.claim(s, jobs.submit(s, JobSpec(task="digits"), owner=LOCAL).id, "worker", ttl)
    assert lease is not None
    return lease


def ends(database: Database, lease: Lease) -> tuple[JobState, list[str]]:
    """State, and the ends that the log tells of."""
    with database.snapshot() as s:
        told = events.after(s, lease.job_id, 0, owner=LOCAL)
        assert [event.seq for event in told] == list(range(1, len(told) + 1))
        assert len(jobs.attempts(s, lease.job_id, owner=LOCAL)) == 1
        return jobs.get(s, lease.job_id, owner=LOCAL).state, [event.type for event in told if event.type in TERMINAL_STATES]


@pytest.mark.parametrize("end", ["complete", "release"])
def test_a_cancel_races_the_end_of_an_attempt(database: Database, end: str) -> None:
    for _ in range(ROUNDS):
        lease = claimed(database)

        def finish(lease: Lease = lease) -> None:
            with database.transaction() as s:
                if end == "complete":
                    leases.fail(s, lease, FAILURE)
                else:
                    leases.release(s, lease, "drain")

        def cancel(lease: Lease = lease) -> None:
            with database.transaction() as s:
                jobs.request_cancel(s, lease.job_id, owner=LOCAL)

        race(database, finish, cancel)
        # A job that completes is never called cancelled; one that only lets go is never run again.
        wanted = "failed" if end == "complete" else "cancelled"
        assert ends(database, lease) == (wanted, [wanted])


def test_reapers_race_the_worker_whose_lease_has_just_run_out(database: Database) -> None:
    for _ in range(ROUNDS):
        lease = claimed(database, ttl=-1)
        reaped: list[str] = []

        def reap(reaped: list[str] = reaped) -> None:
            with database.transaction() as s:
                reaped.extend(leases.reap(s))

        def finish(lease: Lease = lease) -> None:
            with database.transaction() as s:
                leases.fail(s, lease, FAILURE)

        race(database, reap, finish, reap)
        state, told = ends(database, lease)
        assert (state, told, reaped) in [("failed", ["failed"], []), ("queued", [], [lease.job_id])]
        with database.transaction() as s:
            jobs.request_cancel(s, lease.job_id, owner=LOCAL)
