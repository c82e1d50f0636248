"""Ids sort by age; the digest of a spec is of what it means."""

import re
import threading

from store import identifiers
from windtunnel.types import JobSpec


def test_ids_are_distinct_and_sort_by_the_time_they_were_made() -> None:
    made = [identifiers.job_id() for _ in range(2000)]
    assert sorted(made) == made and len(set(made)) == len(made)
    assert all(re.fullmatch(r"job_[0-9a-hjkmnp-tv-z]{26}", job_id) for job_id in made)
    assert identifiers.plan_id().startswith("plan_")


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
