"""Liveness and readiness."""

import time

import httpx

from service.app import create_app
from service.serve import background
from store import schema
from store.database import Database


class Dispatcher:
    """Counts how it is used."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.alive = False

    def start(self) -> None:
        self.calls.append("start")
        self.alive = True

    def stop(self) -> None:
        self.calls.append("stop")
        self.alive = False


def test_ready_with_a_current_database(client):
    assert client.get("/healthz").json()["status"] == "alive"
    assert client.get("/readyz").json() == {"status": "ready", "checks": {"database": "ok", "disk": "ok"}}


def test_not_ready_before_the_schema_is_there(settings, tmp_path):
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with background(create_app(settings, database=empty)) as url:
        answer = httpx.get(f"{url}/readyz")
        assert (answer.status_code, answer.json()["type"]) == (503, "not-ready")
        assert "schema" in answer.json()["detail"]
        assert httpx.get(f"{url}/healthz").status_code == 200
        schema.upgrade(empty.url)
        assert httpx.get(f"{url}/readyz").status_code == 200
    empty.dispose()


def test_not_ready_when_the_database_does_not_answer(settings, tmp_path):
    unreachable = Database(f"postgresql://nobody@/none?host={tmp_path}")
    with background(create_app(settings, database=unreachable)) as url:
        answer = httpx.get(f"{url}/readyz")
        assert answer.status_code == 503
        assert "does not answer" in answer.json()["detail"]
    unreachable.dispose()


def test_a_probe_waits_for_no_writer(client, sqlite):
    with sqlite.transaction():
        begin = time.monotonic()
        assert client.get("/readyz").status_code == 200
        # A probe that took the write lock would wait for the five seconds of SQLite's busy timeout.
        assert time.monotonic() - begin < 4


def test_dispatcher_lives_as_long_as_the_server_and_is_looked_at(sqlite, settings):
    dispatcher = Dispatcher()
    with background(create_app(settings, database=sqlite, dispatcher=dispatcher)) as url:
        assert httpx.get(f"{url}/readyz").json()["checks"] == {"database": "ok", "disk": "ok", "dispatcher": "ok"}
        dispatcher.alive = False
        assert httpx.get(f"{url}/readyz").status_code == 503
    assert dispatcher.calls == ["start", "stop"]
