"""Checkpoint pointers: the last two are kept, a bad one is passed over, on both databases."""

from store import checkpoints, events, leases
from store.database import Database
from store.keys import LOCAL
from store.leases import Lease


def record(database: Database, lease: Lease, *steps: int) -> list[list[str]]:
    forgotten = []
    for step in steps:
        with database.transaction() as s:
            old = checkpoints.record(s, lease, outer_step=step, path=f"{lease.epoch}-{step}", manifest_sha256="0" * 64)
        forgotten.append([checkpoint.path for checkpoint in old])
    return forgotten


def paths(database: Database, lease: Lease) -> list[str]:
    with database.snapshot() as s:
        return [checkpoint.path for checkpoint in checkpoints.newest_first(s, lease.job_id)]


def test_the_last_two_are_kept_and_the_others_named_for_deletion(database: Database, lease: Lease) -> None:
    assert record(database, lease, 0, 1, 2, 3) == [[], [], ["1-0"], ["1-1"]]
    assert paths(database, lease) == ["1-3", "1-2"]


def test_the_best_is_kept_beside_the_last_two(database: Database, lease: Lease) -> None:
    forgotten: list[int] = []
    for step, loss in enumerate([3.0, 1.0, 2.0, None, 4.0, 0.5, 9.0, 9.0]):
        with database.transaction() as s:
            old = checkpoints.record(s, lease, outer_step=step, path=str(step), manifest_sha256="0" * 64, loss=loss)
        forgotten += [checkpoint.outer_step for checkpoint in old]
    assert paths(database, lease) == ["7", "6", "5"]
    assert forgotten == [0, 2, 3, 1, 4]


def test_a_later_epoch_goes_before_an_earlier_one_even_with_fewer_steps(database: Database, lease: Lease) -> None:
    record(database, lease, 4, 5)
    with database.transaction() as s:
        leases.release(s, lease, "drain")
        second = leases.claim(s, lease.job_id, "worker-2", 60)
    assert second is not None
    record(database, second, 5)
    assert paths(database, lease) == ["2-5", "1-5"]


def test_a_rejected_checkpoint_leaves_an_event_and_the_one_before_it(database: Database, lease: Lease) -> None:
    record(database, lease, 0, 1)
    for step, falls_back_to in ((1, 0), (0, None)):
        with database.transaction() as s:
            newest = checkpoints.newest_first(s, lease.job_id)[0]
            assert newest.outer_step == step
            checkpoints.reject(s, lease, newest, "truncated")
            told = [
                each.data for each in events.history(s, lease.job_id, owner=LOCAL) if each.type == "checkpoint_rejected"
            ][-1]
        assert told == {"epoch": 1, "outer_step": step, "reason": "truncated", "falls_back_to": falls_back_to}
    assert paths(database, lease) == []
    with database.transaction() as s:
        leases.release(s, lease, "drain")
        leases.claim(s, lease.job_id, "worker-2", 60)
        started = [each.data for each in events.history(s, lease.job_id, owner=LOCAL) if each.type == "started"][-1]
    assert started is not None and started["resumed_from"] is None


def test_a_step_that_was_committed_unconfirmed_is_recognised(database: Database, lease: Lease) -> None:
    record(database, lease, 0)
    with database.snapshot() as s:
        assert checkpoints.recorded(s, lease, 0)
        assert not checkpoints.recorded(s, lease, 1)
        assert not checkpoints.recorded(s, Lease(lease.job_id, lease.epoch + 1, "worker-2"), 0)
