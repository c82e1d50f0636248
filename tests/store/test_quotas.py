"""Quotas hold on both databases when all that counts is sent at the same moment."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from store import datasets, jobs, keys, webhooks
from store.database import Database
from store.errors import StoreError
from tests.store.test_datasets import dataset
from windtunnel.types import JobSpec

AT_ONCE, MOST = 12, 3


def at_once(database: Database, make: Callable[[Session, int], object]) -> int:
    """Number of makers, all of them begun at the same moment, that were let through."""
    barrier, made, lock = threading.Barrier(AT_ONCE), [0], threading.Lock()

    def work(number: int) -> None:
        barrier.wait()
        try:
            with database.transaction() as s:
                make(s, number)
        except StoreError:
            return
        with lock:
            made[0] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made[0]


def test_jobs(database: Database, spec: JobSpec) -> None:
    assert at_once(database, lambda s, _: jobs.submit(s, spec, owner="ann", most=MOST)) == MOST
    with database.snapshot() as s:
        assert len(jobs.page(s, owner="ann").items) == MOST


def test_keys(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST", MOST)
    assert at_once(database, lambda s, _: keys.create(s, "n", owner="ann")) == MOST


def test_webhooks(database: Database) -> None:
    made = at_once(
        database,
        lambda s, _: webhooks.create(s, owner="ann", name="", url="https://a.example/", events=["job.queued"], most=MOST),
    )
    assert made == MOST


def test_datasets(database: Database) -> None:
    made = at_once(
        database, lambda s, number: datasets.keep(s, dataset("0123456789abcdef"[number]), owner="ann", limit=MOST)
    )
    assert made == MOST


def test_owners_do_not_wait_for_each_other(database: Database, spec: JobSpec) -> None:
    if database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with database.transaction() as first:
        jobs.submit(first, spec, owner="ann", most=MOST)
        with database.transaction() as second:
            jobs.submit(second, spec, owner="bob", most=MOST)
