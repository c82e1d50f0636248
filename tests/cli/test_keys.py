"""``keys`` on a database of its own: the first key needs no server."""

import json

import pytest
from typer.testing import CliRunner

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
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


@pytest.fixture
def sqlite(sqlite_url):
    opened = Database(sqlite_url)
    yield opened
    opened.dispose()


@pytest.fixture
def at_server(sqlite, tmp_path, monkeypatch):
    """Runs ``keys`` with a key against a server of this database."""
    with background(create_app(ServiceSettings(data_dir=tmp_path), database=sqlite)) as url:

        def run(key: str, *arguments: str):
            monkeypatch.setenv("WINDTUNNEL_API_KEY", key)
            return CliRunner().invoke(app, ["keys", *arguments, "--url", url])

        yield run


def test_keys_of_others_are_managed_at_the_server_with_an_operators_key(at_server, sqlite):
    with sqlite.transaction() as session:
        operator = keys.create(session, "ops", owner="root", operator=1).key
    made = json.loads(at_server(operator, "create", "laptop", "--owner", "ann", "--json").stdout)
    assert (made["owner"], made["operator"]) == ("ann", False)
    plain = json.loads(at_server(operator, "create", "mine", "--json").stdout)
    assert (plain["owner"], plain["operator"]) == ("root", False)
    listed = json.loads(at_server(operator, "list", "--json").stdout)
    assert [each["owner"] for each in listed] == ["root", "ann", "root"]
    assert [each["owner"] for each in json.loads(at_server(made["key"], "list", "--json").stdout)] == ["ann"]
    for refused in (("create", "x", "--owner", "bob"), ("create", "x", "--operator"), ("revoke", plain["id"])):
        assert at_server(made["key"], *refused).exit_code == ExitCode.REFUSED
    assert json.loads(at_server(operator, "revoke", made["id"], "--json").stdout)["revoked_at"]
    assert at_server(made["key"], "list").exit_code == ExitCode.REFUSED


def test_a_server_and_a_database_are_not_named_together(at_server, tmp_path):
    refused = at_server("wt_x", "list", "--data-dir", str(tmp_path))
    assert refused.exit_code == ExitCode.USAGE and "not both" in refused.stderr
