"""A database of every released schema, as that version wrote it, is upgraded with all that is in it.

``frozen/<revision>.<database>.sql`` are dumps by sqlite3's iterdump and by ``pg_dump --inserts``.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from store import checkpoints, events, jobs, leases, metrics, outbox, plans, schema, workers
from store.database import Database
from store.errors import IdempotencyConflict
from store.keys import LOCAL
from windtunnel.types import JobSpec

FROZEN = Path(__file__).parent / "frozen"
RELEASED = ["0001", "0002", "0003"]
STATES = {"waits": "queued", "runs": "running"}
"""Of the jobs by name, where they are not named after their state."""


@pytest.fixture(params=RELEASED)
def thawed(request: pytest.FixtureRequest, database: Database, database_url: str, tmp_path: Path) -> Iterator[Database]:
    """The frozen database of one release, on either kind, upgraded."""
    kind = database.engine.dialect.name
    dump = (FROZEN / f"{request.param}.{kind}.sql").read_text()
    if kind == "sqlite":
        database_url = f"sqlite:///{tmp_path}/frozen.db"
        with sqlite3.connect(tmp_path / "frozen.db") as connection:
            connection.executescript(dump)
        connection.close()
    else:
        with database.transaction() as s:
            s.execute(text("DROP SCHEMA public CASCADE"))
            s.execute(text("CREATE SCHEMA public"))
            s.connection().exec_driver_sql(dump.replace("%", "%%"))
        database.dispose()  # the dump leaves its connection with another search path
    frozen = Database(database_url)
    assert schema.current_revision(frozen) == request.param
    schema.upgrade(database_url)
    yield frozen
    frozen.dispose()


def test_a_frozen_database_of_every_release_but_the_newest_is_there() -> None:
    for kind in ("sqlite", "postgresql"):
        assert sorted(path.name.split(".")[0] for path in FROZEN.glob(f"*.{kind}.sql")) == RELEASED


def test_what_an_older_version_wrote_is_all_there_and_goes_on(thawed: Database) -> None:
    assert schema.is_current(thawed)
    with thawed.snapshot() as s:
        known = {job.name: job for job in jobs.page(s, owner=LOCAL).items}
        assert {name: job.state for name, job in known.items()} == {
            name: STATES.get(name, name) for name in ("waits", "runs", "succeeded", "failed", "cancelled", "paused")
        }
        assert jobs.result(s, known["succeeded"].id, owner=LOCAL) is not None
        (plan,) = plans.of_job(s, known["succeeded"].id, owner=LOCAL)
        assert plan.hyperparameters == {"learning_rate": 1 / 3}
        (points,) = metrics.points(s, known["runs"].id, owner=LOCAL)
        assert points.values == [1 / 3, 1 / 4, 1 / 5]
        assert [event.seq for event in events.after(s, known["failed"].id, 0, owner=LOCAL)] == [1, 2, 3]
        assert [checkpoint.outer_step for checkpoint in checkpoints.newest_first(s, known["runs"].id)] == [2, 1]
        (worker,) = workers.listing(s)
        assert (worker.id, worker.draining, worker.speed) == ("host:1:2:0", False, None)
    with thawed.transaction() as s, pytest.raises(IdempotencyConflict):
        jobs.submit(s, JobSpec(task="digits", seed=99), idempotency_key="key-waits", owner=LOCAL)
    with thawed.transaction() as s:
        (orphan,) = leases.running(s)
        leases.lost(s, orphan, "its worker was of the older version")
        jobs.resume(s, known["paused"].id, owner=LOCAL)
        waiting = [known[name].id for name in ("waits", "runs", "paused")]
        assert sorted(outbox.due(s, 10)) == sorted(waiting)
        lease = leases.claim(s, known["runs"].id, "worker", 60)
        assert lease is not None and lease.epoch == 2
        assert [each.data for each in events.history(s, lease.job_id, owner=LOCAL) if each.type == "started"][-1][
            "resumed_from"
        ] == 2


def test_the_newest_schema_goes_down_and_up_with_all_that_is_in_it(thawed: Database) -> None:
    with thawed.transaction() as s:
        waiting = jobs.page(s, state="queued", owner=LOCAL).items[0].id
        jobs.request_pause(s, waiting, owner=LOCAL)
        jobs.resume(s, waiting, owner=LOCAL)
        told = [event.seq for event in events.after(s, waiting, 0, owner=LOCAL)]
    schema.downgrade(thawed.url, "0002")
    schema.upgrade(thawed.url)
    with thawed.snapshot() as s:
        assert [event.seq for event in events.after(s, waiting, 0, owner=LOCAL)] == told
        assert len(jobs.page(s, owner=LOCAL).items) == 6
        assert jobs.get(s, waiting, owner=LOCAL).state == "queued"
