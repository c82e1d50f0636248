"""Claiming, keeping, fencing and letting go of jobs, on both databases."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from store import checkpoints, events, jobs, leases, metrics, outbox, workers
from store.database import Database
from store.errors import LeaseLost
from store.keys import LOCAL
from store.leases import Lease
from store.tables import jobs as jobs_table
from windtunnel.types import BestPoint, CurrentPoint, Failure, Job, JobSpec, Progress, TuneResult

CRASH = Failure(type="crashed", message="the job process was killed by SIGSEGV")
DONE = Progress(outer_step=1, outer_steps=12, inner_steps=3, phase="tune", fraction=0.1, run_equivalents=2.0)
POINT = CurrentPoint(outer_step=1, loss=0.5, stderr=0.1, hyperparameters={"learning_rate": 0.1})
BEST = BestPoint(**POINT.model_dump())


def job(database: Database, lease: Lease) -> Job:
    with database.snapshot() as s:
        return jobs.get(s, lease.job_id, owner=LOCAL)


def types(database: Database, job_id: str) -> list[str]:
    with database.snapshot() as s:
        return [event.type for event in events.after(s, job_id, 0, owner=LOCAL)]


def claim(database: Database, job_id: str, ttl: float = 60) -> Lease:
    with database.transaction() as s:
        taken = leases.claim(s, job_id, "worker", ttl)
    assert taken is not None
    return taken


def test_of_many_claimers_one_wins(database: Database, submitted: str) -> None:
    barrier = threading.Barrier(8)
    won: list[Lease | None] = []

    def race(worker: int) -> None:
        barrier.wait()
        with database.transaction() as s:
            won.append(leases.claim(s, submitted, f"worker-{worker}", 60))

    threads = [threading.Thread(target=race, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 8
    assert [lease.epoch for lease in won if lease is not None] == [1]


def test_claimers_of_many_jobs_never_block_each_other_for_good(database: Database) -> None:
    with database.transaction() as s:
        waiting = {jobs.submit(s, JobSpec(task="digits", seed=seed), owner=LOCAL).id for seed in range(20)}
    taken: list[str] = []

    def work(worker: int) -> None:
        while True:
            with database.transaction() as s:
                rung = outbox.due(s, 1)
                claimed = [lease for job_id in rung if (lease := leases.claim(s, job_id, f"w{worker}", 60))]
            if not rung:
                return
            taken.extend(lease.job_id for lease in claimed)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(waiting)


def test_a_claim_raises_the_epoch_and_keeps_the_first_thread_count(database: Database, submitted: str) -> None:
    with database.transaction() as s:
        first = leases.claim(s, submitted, "worker-1", 60, threads=3)
        assert first == Lease(submitted, 1, "worker-1", 3)
        leases.release(s, first, "drain")
        assert leases.claim(s, submitted, "worker-2", 60, threads=1) == Lease(submitted, 2, "worker-2", 3)
    with database.snapshot() as s:
        started = [event.data for event in events.after(s, submitted, 0, owner=LOCAL) if event.type == "started"]
    assert started == [
        {"epoch": 1, "worker": "worker-1", "resumed_from": None},
        {"epoch": 2, "worker": "worker-2", "resumed_from": None},
    ]


def test_a_claim_says_from_which_outer_step_the_job_goes_on(database: Database, lease: Lease) -> None:
    with database.transaction() as s:
        checkpoints.record(s, lease, outer_step=4, path="p", manifest_sha256="0" * 64)
        leases.release(s, lease, "drain")
    claim(database, lease.job_id)
    with database.snapshot() as s:
        assert events.after(s, lease.job_id, 3, owner=LOCAL)[0].data["resumed_from"] == 4


WRITES: dict[str, Callable[[Session, Lease, TuneResult], object]] = {
    "beat": lambda s, lease, result: leases.beat(s, lease, 60),
    "progress": lambda s, lease, result: leases.progress(s, lease, DONE),
    "succeed": leases.succeed,
    "fail": lambda s, lease, result: leases.fail(s, lease, CRASH),
    "mark_cancelled": lambda s, lease, result: leases.mark_cancelled(s, lease),
    "release": lambda s, lease, result: leases.release(s, lease, "drain"),
    "crashed": lambda s, lease, result: leases.crashed(s, lease, CRASH),
    "lost": lambda s, lease, result: leases.lost(s, lease, "gone"),
    "shrink": lambda s, lease, result: leases.shrink(s, lease, 4, "memory ran out"),
    "metrics": lambda s, lease, result: metrics.record(s, lease, 0, {"loss": 1.0}),
    "checkpoint": lambda s, lease, result: checkpoints.record(s, lease, outer_step=0, path="p", manifest_sha256="0" * 64),
    "reject": lambda s, lease, result: checkpoints.reject(
        s, lease, checkpoints.Checkpoint(1, lease.job_id, 1, 0, "p", "0" * 64), "bad"
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_zombie_writes_nothing(database: Database, lease: Lease, tune_result: TuneResult, write: str) -> None:
    with database.transaction() as s:
        leases.release(s, lease, "drain")
    successor = claim(database, lease.job_id)
    before, told = job(database, lease), types(database, lease.job_id)

    def haunt() -> None:
        with database.transaction() as s:
            WRITES[write](s, lease, tune_result)

    with pytest.raises(LeaseLost):
        haunt()
    assert job(database, lease) == before
    assert types(database, lease.job_id) == told
    with database.snapshot() as s:
        assert metrics.points(s, lease.job_id, owner=LOCAL) == []
        assert checkpoints.newest_first(s, lease.job_id) == []
    with database.transaction() as s:
        WRITES[write](s, successor, tune_result)  # while the owner may


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_to_a_job_that_has_ended(
    database: Database, lease: Lease, tune_result: TuneResult, write: str
) -> None:
    with database.transaction() as s:
        leases.fail(s, lease, CRASH)
    before, told = job(database, lease), types(database, lease.job_id)

    def write_on() -> None:
        with database.transaction() as s:
            WRITES[write](s, lease, tune_result)

    with pytest.raises(LeaseLost):
        write_on()
    assert (job(database, lease), types(database, lease.job_id)) == (before, told)


def test_the_reaper_takes_back_what_has_run_out_and_nothing_else(database: Database) -> None:
    with database.transaction() as s:
        late, alive = (jobs.submit(s, JobSpec(task="digits", seed=seed), owner=LOCAL).id for seed in (1, 2))
    claim(database, late, ttl=-1)
    kept = claim(database, alive)
    with database.transaction() as s:
        assert leases.reap(s) == [late]
        assert leases.reap(s) == []
        assert [lease.job_id for lease in leases.running(s)] == [alive]
        leases.beat(s, kept, 60)
        assert outbox.due(s, 10) == [late]
    assert types(database, late) == ["queued", "started", "crashed", "requeued"]
    with database.snapshot() as s:
        assert [attempt.outcome for attempt in jobs.attempts(s, late, owner=LOCAL)] == ["lost"]


def test_reaping_a_job_that_is_asked_to_stop_cancels_it(database: Database, submitted: str) -> None:
    claim(database, submitted, ttl=-1)
    with database.transaction() as s:
        jobs.request_cancel(s, submitted, owner=LOCAL)
        leases.reap(s)
    with database.snapshot() as s:
        assert jobs.get(s, submitted, owner=LOCAL).state == "cancelled"


@pytest.mark.parametrize("leave", ["release", "crashed"])
def test_letting_go_of_a_job_that_is_asked_to_stop_cancels_it(
    database: Database, lease: Lease, tune_result: TuneResult, leave: str
) -> None:
    with database.transaction() as s:
        jobs.request_cancel(s, lease.job_id, owner=LOCAL)
        WRITES[leave](s, lease, tune_result)
    assert job(database, lease).state == "cancelled"
    with database.snapshot() as s:
        assert [attempt.outcome for attempt in jobs.attempts(s, lease.job_id, owner=LOCAL)] == ["cancelled"]


def test_completion_beats_a_cancel_that_comes_too_late_to_be_seen(
    database: Database, lease: Lease, tune_result: TuneResult
) -> None:
    with database.transaction() as s:
        jobs.request_cancel(s, lease.job_id, owner=LOCAL)
        leases.succeed(s, lease, tune_result)
    with database.transaction() as s:
        assert jobs.request_cancel(s, lease.job_id, owner=LOCAL).state == "succeeded"


def test_the_third_crash_with_no_checkpoint_between_is_poison(database: Database, submitted: str) -> None:
    for _ in range(2):
        lease = claim(database, submitted)
        with database.transaction() as s:
            leases.crashed(s, lease, CRASH)
        assert job(database, lease).state == "queued"
    lease = claim(database, submitted)
    with database.transaction() as s:
        leases.crashed(s, lease, CRASH)
    ended = job(database, lease)
    assert ended.state == "failed" and ended.failure is not None
    assert ended.failure.type == "poison"
    assert "3 times" in ended.failure.message and "SIGSEGV" in ended.failure.message
    assert types(database, submitted)[-2:] == ["crashed", "failed"]


def test_a_checkpoint_forgives_the_crashes_before_it(database: Database, submitted: str) -> None:
    for step in range(6):
        lease = claim(database, submitted)
        with database.transaction() as s:
            if step % 2 == 1:
                checkpoints.record(s, lease, outer_step=step, path=str(step), manifest_sha256="0" * 64)
            leases.crashed(s, lease, CRASH)
        assert job(database, lease).state == "queued"


def test_a_lost_worker_counts_as_a_crash(database: Database, submitted: str) -> None:
    for _ in range(3):
        claim(database, submitted, ttl=-1)
        with database.transaction() as s:
            assert leases.reap(s) == [submitted]
    with database.snapshot() as s:
        failure = jobs.get(s, submitted, owner=LOCAL).failure
    assert failure is not None and failure.type == "poison"


def test_progress_keeps_points_that_it_does_not_name(database: Database, lease: Lease) -> None:
    with database.transaction() as s:
        assert not leases.progress(s, lease, DONE, POINT, BEST).cancel
        leases.progress(s, lease, DONE.model_copy(update={"inner_steps": 9}))
    seen = job(database, lease)
    assert (seen.progress.inner_steps, seen.current, seen.best) == (9, POINT, BEST)


def test_a_failure_comes_back_with_its_reason(database: Database, lease: Lease) -> None:
    failure = Failure(type="diverged", message="all 4 runs diverged", hint="lower the learning rate")
    with database.transaction() as s:
        leases.fail(s, lease, failure)
    ended = job(database, lease)
    assert (ended.state, ended.failure) == ("failed", failure)
    assert ended.finished_at is not None


def test_a_job_that_is_asked_to_pause_is_paused_when_its_worker_lets_go(database: Database, lease: Lease) -> None:
    with database.transaction() as s:
        assert jobs.request_pause(s, lease.job_id, owner=LOCAL).pause_requested
        assert leases.beat(s, lease, 60).pause
        leases.release(s, lease, "the worker stops")
    assert (job(database, lease).state, job(database, lease).worker) == ("paused", None)
    assert types(database, lease.job_id) == ["queued", "started", "pause_requested", "paused"]
    with database.transaction() as s:
        assert leases.claim(s, lease.job_id, "worker", 60) is None
        assert jobs.resume(s, lease.job_id, owner=LOCAL).state == "queued"
        again = leases.claim(s, lease.job_id, "worker", 60)
        assert again is not None and not leases.beat(s, again, 60).pause


def test_a_pause_that_is_taken_back_in_time_stops_nothing(database: Database, lease: Lease) -> None:
    with database.transaction() as s:
        jobs.request_pause(s, lease.job_id, owner=LOCAL)
        assert not jobs.resume(s, lease.job_id, owner=LOCAL).pause_requested
        assert not leases.beat(s, lease, 60).stop
        leases.release(s, lease, "drain")
    assert job(database, lease).state == "queued"


def test_a_crash_while_pausing_pauses_and_counts(database: Database, lease: Lease) -> None:
    with database.transaction() as s:
        jobs.request_pause(s, lease.job_id, owner=LOCAL)
        leases.crashed(s, lease, CRASH)
    assert job(database, lease).state == "paused"
    for _ in range(2):
        with database.transaction() as s:
            jobs.resume(s, lease.job_id, owner=LOCAL)
            again = leases.claim(s, lease.job_id, "worker", 60)
            assert again is not None
            leases.crashed(s, again, CRASH)
    assert job(database, lease).state == "failed"


@pytest.mark.parametrize("end", ["cancelled", "succeeded"])
def test_a_paused_or_ended_job_can_be_paused_and_resumed_without_effect(
    database: Database, lease: Lease, tune_result: TuneResult, end: str
) -> None:
    with database.transaction() as s:
        if end == "succeeded":
            leases.succeed(s, lease, tune_result)
        else:
            leases.mark_cancelled(s, lease)
        before = types(database, lease.job_id) if database.engine.dialect.name == "postgresql" else None
        assert jobs.request_pause(s, lease.job_id, owner=LOCAL).state == end
        assert jobs.resume(s, lease.job_id, owner=LOCAL).state == end
    assert before is None or len(types(database, lease.job_id)) == len(before) + 1


def test_as_many_jobs_hear_that_others_wait_as_there_are_such_and_the_longest_running_first(database: Database) -> None:
    with database.transaction() as s:
        ids = [jobs.submit(s, JobSpec(task="digits", seed=seed), owner=LOCAL).id for seed in range(3)]
    old, young = claim(database, ids[0]), claim(database, ids[1])
    with database.transaction() as s:
        assert not leases.beat(s, old, 60).others_wait, "it has waited for no time at all"
        s.execute(update(jobs_table).where(jobs_table.c.id == ids[2]).values(queued_at=jobs_table.c.queued_at - 10))
        assert leases.beat(s, old, 60).others_wait
        assert not leases.beat(s, young, 60).others_wait


def test_a_worker_that_is_asked_to_drain_hears_it_with_its_beat(database: Database, lease: Lease) -> None:
    here = {"host": "h", "device": "cpu", "threads": 1, "started_at": datetime.now(UTC)}
    with database.transaction() as s:
        assert not workers.seen(s, lease.worker_id, **here, job_id=None)
        assert workers.free(s) == 1
        assert not leases.beat(s, lease, 60).drain
        assert workers.request_drain(s, lease.worker_id) and not workers.request_drain(s, "nobody")
        assert leases.beat(s, lease, 60).drain
        assert workers.seen(s, lease.worker_id, **here, job_id=None)
        assert workers.free(s) == 0
        assert [worker.draining for worker in workers.listing(s)] == [True]


def test_memory_that_ran_out_leaves_a_smaller_population_for_every_later_lease(database: Database, lease: Lease) -> None:
    assert lease.population is None
    with database.transaction() as s:
        leases.shrink(s, lease, 16, "out of memory")
    assert claim(database, lease.job_id).population == 16
    assert types(database, lease.job_id) == ["queued", "started", "population_reduced", "requeued", "started"]


def test_an_attempt_says_why_it_ended(database: Database, lease: Lease) -> None:
    with database.transaction() as s:
        leases.release(s, lease, "its slice is over, and others wait")
        second = leases.claim(s, lease.job_id, "worker", 60)
        assert second is not None
        leases.crashed(s, second, CRASH)
    with database.snapshot() as s:
        ended = [(attempt.outcome, attempt.reason) for attempt in jobs.attempts(s, lease.job_id, owner=LOCAL)]
    assert ended == [("released", "its slice is over, and others wait"), ("crashed", CRASH.message)]
