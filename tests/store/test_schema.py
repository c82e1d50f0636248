"""Migrations on both databases: up, down, up; the migrated schema is the one the tables describe."""

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from store import jobs, schema, workers
from store.database import Database
from store.errors import SchemaError
from store.keys import LOCAL
from store.tables import metadata
from windtunnel.types import JobSpec


def test_up_down_up(database: Database, database_url: str, spec: JobSpec) -> None:
    newest = schema.current_revision(database)
    assert newest is not None and schema.is_current(database)
    schema.downgrade(database_url)
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    assert schema.current_revision(database) is None and not schema.is_current(database)
    schema.upgrade(database_url)
    assert schema.current_revision(database) == newest
    with database.transaction() as s:
        assert jobs.submit(s, spec, owner=LOCAL).state == "queued"


def test_the_migrated_schema_is_the_one_the_tables_describe(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_migrated_checks_are_the_ones_the_tables_describe(database: Database, tmp_path: Path) -> None:
    described = Database(f"sqlite:///{tmp_path}/described.db")
    metadata.create_all(described.engine)
    for table in metadata.tables:
        wanted = {check["name"]: check["sqltext"] for check in inspect(described.engine).get_check_constraints(table)}
        found = {check["name"]: check["sqltext"] for check in inspect(database.engine).get_check_constraints(table)}
        assert found.keys() == wanted.keys()
        if database.engine.dialect.name == "sqlite":  # PostgreSQL words them in its own way
            assert found == wanted
    described.dispose()


def test_workers_of_the_first_schema_live_on_without_a_speed(database: Database, database_url: str) -> None:
    schema.downgrade(database_url)
    schema.upgrade(database_url, "0001")
    with database.transaction() as s:
        s.execute(
            text("INSERT INTO workers (id, host, device, threads, started_at, seen_at) VALUES ('w', 'h', 'cpu', 1, 1, 9e9)")
        )
    schema.upgrade(database_url)
    with database.snapshot() as s:
        (worker,) = workers.listing(s)
    assert (worker.id, worker.speed) == ("w", None)


def test_upgrading_again_changes_nothing(database: Database, database_url: str, submitted: str) -> None:
    schema.upgrade(database_url)
    with database.snapshot() as s:
        assert jobs.get(s, submitted, owner=LOCAL).state == "queued"


def test_many_may_upgrade_at_once(database: Database, database_url: str) -> None:
    schema.downgrade(database_url)
    threads = [threading.Thread(target=schema.upgrade, args=(database_url,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert schema.is_current(database)


def test_a_database_from_the_future_is_refused_with_what_to_do(database: Database, database_url: str) -> None:
    with database.transaction() as s:
        s.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match=r"'9999'.*install the newer version"):
        schema.upgrade(database_url)


def test_upgrade_works_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema.upgrade(f"sqlite:///{tmp_path}/elsewhere/windtunnel.db")
    opened = Database(f"sqlite:///{tmp_path}/elsewhere/windtunnel.db")
    assert schema.is_current(opened)
    opened.dispose()
