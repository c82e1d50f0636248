"""Databases that cannot be opened end in a sentence, and passwords stay out of it."""

import sqlite3

import pytest

from windtunnel.cli.databases import is_current, upgrade, without_password
from windtunnel.cli.exits import SetupError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@db/wt", "postgresql://ada:***@db/wt"),
        ("postgresql://ada@db/wt", "postgresql://ada@db/wt"),
        ("sqlite:////var/wt.db", "sqlite:////var/wt.db"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert without_password(url) == shown


def test_a_fresh_database_is_made_current(tmp_path):
    url = f"sqlite:///{tmp_path}/new/windtunnel.db"
    upgrade(url)
    assert is_current(url)


def test_an_empty_database_is_not_current(tmp_path):
    assert not is_current(f"sqlite:///{tmp_path}/windtunnel.db")


@pytest.mark.parametrize("act", [upgrade, is_current])
def test_a_file_that_is_no_database_is_named(tmp_path, act):
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but text that is long enough to be looked at" * 20)
    with pytest.raises(SetupError, match=r"notes\.txt: file is not a database.*--database-url"):
        act(f"sqlite:///{file}")


@pytest.mark.parametrize("act", [upgrade, is_current])
def test_a_server_that_does_not_answer_is_named_without_its_password(act):
    with pytest.raises(SetupError, match="cannot open the database") as caught:
        act("postgresql://ada:s3cret@127.0.0.1:9/wt")
    assert "s3cret" not in str(caught.value)


def test_a_newer_database_is_not_touched(tmp_path):
    url = f"sqlite:///{tmp_path}/windtunnel.db"
    upgrade(url)
    with sqlite3.connect(tmp_path / "windtunnel.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    connection.close()
    with pytest.raises(SetupError, match="newer version"):
        upgrade(url)
