"""``keys`` on a database of its own: the first key needs no server."""

import json

import pytest
from typer.testing import CliRunner

from store import keys
from store.database import Database
from windtunnel.cli.app import app
from windtunnel.cli.exits import ExitCode


@pytest.fixture
def run(sqlite_url, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_DATABASE_URL", sqlite_url)
    return lambda *arguments: CliRunner().invoke(app, ["keys", *arguments])


def test_a_key_is_made_listed_and_revoked(run, sqlite_url):
    made = run("create", "laptop", "--owner", "ann", "--operator")
    assert made.exit_code == 0
    key = made.stdout.strip()
    database = Database(sqlite_url)
    with database.snapshot() as session:
        known, _ = keys.find(session, key)
    assert (known.owner, known.name, known.operator) == ("ann", "laptop", True)
    listed = run("list")
    assert known.id in listed.stdout and key not in listed.stdout
    assert json.loads(run("list", "--owner", "bob", "--json").stdout) == []
    assert run("revoke", known.id).exit_code == 0
    with database.snapshot() as session:
        assert keys.find(session, key) is None
    database.dispose()
    assert "revoked" in run("list").stdout


def test_what_cannot_be_is_told(run):
    unknown = run("revoke", "key_x")
    assert unknown.exit_code == ExitCode.USAGE and "windtunnel keys list" in unknown.stderr
    bad = run("create", "laptop", "--owner", " ")
    assert bad.exit_code == ExitCode.USAGE and "1 to 200 printable characters" in bad.stderr


def test_a_folder_that_is_not_there_is_refused_rather_than_made(tmp_path, monkeypatch):
    monkeypatch.delenv("WINDTUNNEL_DATABASE_URL", raising=False)
    monkeypatch.delenv("WINDTUNNEL_DATA_DIR", raising=False)
    gone = tmp_path / "gone"
    for arguments in (["list"], ["create", "laptop"], ["revoke", "key_1"]):
        for where in (["--data-dir", str(gone)], ["--database-url", f"sqlite:///{gone}/windtunnel.db"]):
            answer = CliRunner().invoke(app, ["keys", *arguments, *where])
            assert answer.exit_code == ExitCode.SETUP and str(gone) in answer.stderr and "mkdir" in answer.stderr
    assert not gone.exists()
