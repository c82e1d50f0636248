"""When a key was last used is written aside: reads answer while nothing can be written, and the failures are counted."""

import sqlite3
import time
from contextlib import closing

import httpx

from service.keys.uses import KeyUses
from store import dialect, keys
from store.database import Database


def made(database: Database) -> keys.NewApiKey:
    with database.transaction() as session:
        return keys.create(session, "test", owner="ann", operator=1)


def test_reading_with_a_key_does_not_wait_for_a_write_that_another_process_holds(client, sqlite, tmp_path) -> None:
    key = {"authorization": f"Bearer {made(sqlite).key}"}
    path = dialect.parse_url(sqlite.url).database
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        answers = [client.get(path, headers=key).status_code for path in ("/v1/jobs", "/v1/datasets", "/", "/keys")]
        assert answers == [200] * 4
        assert time.monotonic() - began < 3  # a write waits 5 s for another
        other.execute("ROLLBACK")


def test_the_use_of_a_key_is_noted_soon(either: httpx.Client, database: Database) -> None:
    key = made(database)
    either.get("/v1/jobs", headers={"authorization": f"Bearer {key.key}"})
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with database.snapshot() as s:
            (found,) = keys.listing(s, owner="ann")
        if found.used_at is not None:
            return
        time.sleep(0.02)
    raise AssertionError("the use was not noted")


def test_what_is_noted_last_is_written_when_the_server_stops(database: Database) -> None:
    key, uses = made(database), KeyUses(database)
    uses.note(key.id)
    uses.start()
    uses.stop()
    with database.snapshot() as s:
        assert keys.listing(s, owner="ann")[0].used_at is not None


def test_a_note_that_cannot_be_written_is_dropped_and_counted(sqlite: Database) -> None:
    key, uses = made(sqlite), KeyUses(sqlite)
    with sqlite.transaction() as s:
        s.connection().exec_driver_sql(
            "CREATE TRIGGER full BEFORE UPDATE ON api_keys BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    uses.note(key.id)
    uses.start()
    uses.stop()
    assert uses.failures == 1


def test_failures_are_a_measure(client: httpx.Client) -> None:
    assert "windtunnel_key_uses_not_noted_total 0.0" in client.get("/metrics").text
