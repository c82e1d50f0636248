"""The only file with SQL that one of the two databases understands alone: its clock, how writes begin, upserts."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Double, Engine, Table, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

SUPPORTED = "sqlite:///path/to/file.db or postgresql://user:password@host/name"

READ_ONLY = "windtunnel_read_only"
"""Execution option of the engine that snapshots use."""

BUSY_TIMEOUT = 5000
"""Milliseconds that a SQLite write waits for another one."""

SCHEMA_LOCK = 0x77696E64
"""Key of the PostgreSQL advisory lock under which one process at a time migrates the schema."""


POSTGRESQL_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""A server that has vanished from the network is an error within 15 seconds, well before a lease runs out."""


class now(FunctionElement[float]):  # noqa: N801
    """The database's own clock: seconds since 1970 in UTC. All times of the schema are this."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _sqlite_now(_element: now, _compiler: SQLCompiler, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _postgresql_now(_element: now, _compiler: SQLCompiler, **_options: Any) -> str:
    # Not now(): that stands still in a transaction, and a lease is measured from the moment of its renewal.
    return "extract(epoch from clock_timestamp())::double precision"


def parse_url(url: str) -> URL:
    """The address of a supported database, with the driver that this project uses.

    Raises:
        ValueError: the address is malformed, names another database, or a SQLite database in memory.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError(f"not a database address; allowed: {SUPPORTED}") from error
    match parsed.get_backend_name():
        case "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise ValueError(
                    "a SQLite database must be a file, because several processes share it; allowed: " + SUPPORTED
                )
            return parsed.set(drivername="sqlite+pysqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(f"database {other!r} is not supported; allowed: {SUPPORTED}")


def engine(url: str) -> Engine:
    """Engine for writing: on SQLite each transaction takes the write lock when it begins, so it never fails halfway."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed, pool_pre_ping=True, json_serializer=_json, connect_args=POSTGRESQL_CONNECTION)
    Path(str(parsed.database)).absolute().parent.mkdir(parents=True, exist_ok=True)
    made = create_engine(parsed, json_serializer=_json)
    event.listen(made, "connect", _open_sqlite)
    event.listen(made, "begin", _begin_sqlite)
    return made


def read_only(writer: Engine) -> Engine:
    """Engine for reading, over the same pool: each transaction is one consistent view and refuses to write."""
    if writer.dialect.name == "sqlite":
        return writer.execution_options(**{READ_ONLY: True})
    return writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


@contextmanager
def migration(url: str) -> Iterator[Connection]:
    """Transaction that changes the schema; a second process that wants to change it waits until it is over."""
    made = engine(url)
    if made.dialect.name == "sqlite":
        # Alembic changes a SQLite table by copying it and dropping the old one, to which other rows refer.
        event.listen(made, "connect", _ignore_foreign_keys)
    try:
        with made.begin() as connection:
            if made.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
            yield connection
    finally:
        made.dispose()


def take_turns(session: Session, what: str, *, whose: str) -> None:
    """Have transactions that count what an owner has of this go one after the other, until this one ends.

    Without it, two that count at the same moment on PostgreSQL both take the last place. On SQLite one writes at a time.
    """
    if session.get_bind().dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(f"{what}\0{whose}".encode()).digest()[:8], signed=True)
        session.execute(select(func.pg_advisory_xact_lock(key)))


def insert_or_ignore(session: Session, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert one row; False where its key was there already (on PostgreSQL after waiting for its writer)."""
    insert = _dialect(session).insert(table).values(**values).on_conflict_do_nothing().returning(*table.primary_key)
    return session.execute(insert).first() is not None


def upsert(session: Session, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; where the primary key is there already, overwrite every other column given."""
    insert = _dialect(session).insert(table)
    keys = {column.name for column in table.primary_key}
    replaced = {name: insert.excluded[name] for name in rows[0] if name not in keys}
    session.execute(insert.on_conflict_do_update(index_elements=sorted(keys), set_=replaced), list(rows))


def _dialect(session: Session) -> Any:
    """SQLAlchemy's module for the session's database; the two share ``insert`` with conflict clauses, but no type."""
    return sqlite if session.get_bind().dialect.name == "sqlite" else postgresql


def _json(value: object) -> str:
    """JSON as the standard has it: not-a-number is an error on both databases, not a surprise on one."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _open_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # The driver's own transaction handling is switched off: it would begin deferred, and upgrading a read lock
    # to a write lock fails at once when another writer is there.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _ignore_foreign_keys(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA foreign_keys = OFF").close()


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get(READ_ONLY):
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.exec_driver_sql("BEGIN")
    else:
        connection.exec_driver_sql("PRAGMA query_only = OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
