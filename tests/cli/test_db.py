"""``db`` on databases of every age: says which schema there is, brings it up to date, touches none of the future."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from store import schema
from store.database import Database
from windtunnel.cli.app import app
from windtunnel.cli.exits import ExitCode

NEWEST = schema.newest_revision()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["db", *arguments])


def test_a_database_is_made_and_then_left_as_it_is(tmp_path: Path) -> None:
    place = ("--data-dir", str(tmp_path / "new"))
    asked = run("current", *place)
    assert (asked.exit_code, asked.stdout) == (ExitCode.NEGATIVE, "none\n") and "db upgrade" in asked.stderr
    assert not (tmp_path / "new").exists(), "looking makes nothing"
    made = run("upgrade", *place)
    assert made.exit_code == 0 and f"schema none is now {NEWEST}" in made.stderr
    assert run("current", *place).stdout == f"{NEWEST}\n"
    again = run("upgrade", "--json", *place)
    assert json.loads(again.stdout) == {"before": NEWEST, "after": NEWEST}
    assert f"has schema {NEWEST} already" in run("upgrade", *place).stderr


def test_an_older_database_goes_from_its_schema_to_this_one(database: Database, database_url: str) -> None:
    schema.downgrade(database_url, "0003")
    place = ("--database-url", database_url)
    asked = run("current", "--json", *place)
    assert json.loads(asked.stdout) == {"current": "0003", "newest": NEWEST, "up_to_date": False}
    assert asked.exit_code == ExitCode.NEGATIVE
    assert json.loads(run("upgrade", "--json", *place).stdout) == {"before": "0003", "after": NEWEST}
    assert run("current", *place).exit_code == 0
    assert schema.is_current(database)


def test_a_database_of_a_newer_version_is_not_touched(database: Database, database_url: str) -> None:
    with database.transaction() as s:
        s.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    refused = run("upgrade", "--database-url", database_url)
    assert refused.exit_code == ExitCode.SETUP and "newer version" in refused.stderr
    assert schema.current_revision(database) == "9999"


@pytest.mark.parametrize("command", ["upgrade", "current"])
def test_what_is_no_database_is_told_without_a_password(command: str) -> None:
    refused = run(command, "--database-url", "postgresql://ada:s3cret@127.0.0.1:9/wt")
    assert refused.exit_code == ExitCode.SETUP
    assert "cannot open the database" in refused.stderr and "s3cret" not in refused.stderr
    unknown = run(command, "--database-url", "mysql://db/wt")
    assert unknown.exit_code == ExitCode.USAGE and "WINDTUNNEL_DATABASE_URL" in unknown.stderr
