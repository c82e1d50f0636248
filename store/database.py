"""A database that is open: transactions that write, snapshots that read."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from store import dialect


class Database:
    """SQLite or PostgreSQL behind the same code; may be shared by threads, not by forked processes.

    Args:
        url: ``sqlite:///path`` (its folder is made) or ``postgresql://...``.

    Raises:
        ValueError: the address is malformed or names another kind of database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = dialect.engine(url)
        self._reader = dialect.read_only(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that writes: all of it on a clean exit, none of it on an exception."""
        with Session(self.engine) as session, session.begin():
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A session that reads one consistent state of the database; a write in it is an error."""
        with Session(self._reader) as session:
            yield session

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()
