"""A browser holds the id of a session, never the key; the session expires, and ends with sign-out and with the key."""

import time

import httpx
import pytest
from sqlalchemy import update

from service.app import create_app
from service.caller import COOKIE
from service.serve import background
from store import keys, sessions
from store.database import Database
from store.dialect import now
from store.errors import KeyNotFound
from store.tables import sessions as table
from windtunnel.types import NewApiKey


def made(database: Database, owner: str = "ann") -> NewApiKey:
    with database.transaction() as session:
        return keys.create(session, "test", owner=owner)


def signed_in(client: httpx.Client, key: NewApiKey) -> str:
    """The cookie of a browser that has signed in, which the client itself does not keep."""
    entered = client.post("/sign-in", data={"key": key.key, "next": "/"})
    assert entered.status_code == 303
    cookie = entered.cookies[COOKIE]
    client.cookies.clear()
    return cookie


def status(client: httpx.Client, cookie: str) -> int:
    return client.get("/v1/jobs", headers={"cookie": f"{COOKIE}={cookie}"}).status_code


def test_the_cookie_is_not_the_key_and_another_one_at_each_sign_in(either: httpx.Client, database: Database) -> None:
    key = made(database)
    first, second = signed_in(either, key), signed_in(either, key)
    assert first != second and key.key not in (first, second)
    assert status(either, first) == status(either, second) == 200
    assert status(either, key.key) == 401
    assert either.get("/v1/jobs", headers={"authorization": f"Bearer {first}"}).status_code == 401


def test_sign_out_ends_the_session_for_every_copy_of_the_cookie(either: httpx.Client, database: Database) -> None:
    key = made(database)
    ended, other = signed_in(either, key), signed_in(either, key)
    assert either.post("/sign-out", headers={"cookie": f"{COOKIE}={ended}"}).status_code == 303
    assert (status(either, ended), status(either, other)) == (401, 200)


def test_a_session_expires(either: httpx.Client, database: Database) -> None:
    cookie = signed_in(either, made(database))
    with database.transaction() as s:
        s.execute(update(table).values(expires_at=now() - 1))
    assert status(either, cookie) == 401


def test_the_browser_forgets_it_when_the_server_does(database, settings) -> None:
    app = create_app(settings.model_copy(update={"session_hours": 2.0}), database=database)
    key = made(database)
    with background(app) as url:
        entered = httpx.post(f"{url}/sign-in", data={"key": key.key})
    assert "max-age=7200" in entered.headers["set-cookie"].lower()


def test_a_session_ends_with_its_key(either: httpx.Client, database: Database) -> None:
    key, other = made(database), made(database)
    ended, lives = signed_in(either, key), signed_in(either, other)
    with database.transaction() as s:
        keys.revoke(s, key.id, owner="ann")
    assert (status(either, ended), status(either, lives)) == (401, 200)


def test_signing_in_again_ends_the_session_before(either: httpx.Client, database: Database) -> None:
    key = made(database)
    before = signed_in(either, key)
    either.post("/sign-in", data={"key": key.key}, headers={"cookie": f"{COOKIE}={before}"})
    assert status(either, before) == 401


def test_a_session_is_of_the_owner_of_its_key(either: httpx.Client, database: Database) -> None:
    ann, bob = signed_in(either, made(database)), signed_in(either, made(database, "bob"))
    job = either.post("/v1/jobs", json={"task": "digits"}, headers={"cookie": f"{COOKIE}={ann}"}).json()["id"]
    assert either.get(f"/v1/jobs/{job}", headers={"cookie": f"{COOKIE}={bob}"}).status_code == 404


def test_no_session_begins_with_the_key_of_another_owner_or_with_a_revoked_one(database: Database) -> None:
    key = made(database)
    with database.transaction() as s, pytest.raises(KeyNotFound):
        sessions.begin(s, key.id, owner="bob", seconds=60)
    with database.transaction() as s:
        keys.revoke(s, key.id, owner="ann")
        with pytest.raises(KeyNotFound):
            sessions.begin(s, key.id, owner="ann", seconds=60)


def test_a_key_has_so_many_sessions_and_one_more_ends_the_oldest(database: Database) -> None:
    key = made(database)
    ids = []
    for _ in range(sessions.MOST + 2):
        with database.transaction() as s:
            ids.append(sessions.begin(s, key.id, owner="ann", seconds=60))
        time.sleep(0.001)  # the clock of SQLite counts milliseconds
    with database.snapshot() as s:
        assert [sessions.find(s, each) is not None for each in ids] == [False] * 2 + [True] * sessions.MOST


def test_the_database_holds_no_id_of_a_session(database: Database) -> None:
    key = made(database)
    with database.transaction() as s:
        session_id = sessions.begin(s, key.id, owner="ann", seconds=60)
        assert session_id not in str(s.execute(table.select()).all())
