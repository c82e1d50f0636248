"""Ids sort by age; the digest of a spec is of what it means."""

import re
import threading
import time

import pytest

from store import identifiers
from windtunnel.types import JobSpec


def test_ids_are_distinct_and_sort_by_the_time_they_were_made() -> None:
    made = [identifiers.job_id() for _ in range(2000)]
    assert sorted(made) == made and len(set(made)) == len(made)
    assert all(re.fullmatch(r"job_[0-9a-hjkmnp-tv-z]{26}", job_id) for job_id in made)
    assert identifiers.plan_id().startswith("plan_")


def test_ids_stay_in_order_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = time.time_ns() + 3_600_000_000_000
    clock = iter([ahead, ahead - 60_000_000_000, ahead])
    monkeypatch.setattr(identifiers, "_last", 0)  # and back, so that no later id of this process is an hour ahead
    monkeypatch.setattr(identifiers.time, "time_ns", lambda: next(clock))
    made = [identifiers.job_id() for _ in range(3)]
    assert sorted(made) == made and len(set(made)) == 3


def test_each_threads_ids_are_in_the_order_in_which_it_made_them() -> None:
    made: list[list[str]] = [[] for _ in range(8)]

    def make(mine: list[str]) -> None:
        mine.extend([identifiers.job_id() for _ in range(2000)])

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(sorted(mine) == mine for mine in made)


def test_threads_never_share_an_id() -> None:
    made: list[str] = []

    def make() -> None:
        made.extend([identifiers.job_id() for _ in range(500)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2000


def test_a_spec_digest_is_blind_to_what_was_spelled_out() -> None:
    assert identifiers.request_sha256(JobSpec(task="digits")) == identifiers.request_sha256(JobSpec(task="digits", seed=0))
    assert identifiers.request_sha256(JobSpec(task="digits")) != identifiers.request_sha256(JobSpec(task="digits", seed=1))
