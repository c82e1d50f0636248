"""The schema's version: bring a database to the newest one, ask which one it has."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from store import dialect
from store.database import Database
from store.errors import SchemaError


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to the newest schema or up to a revision, making it where there is none. Many may do it at once.

    Raises:
        ValueError: the address is malformed or names another kind of database.
        SchemaError: the database was migrated by a newer version of this software.
    """
    with dialect.migration(url) as connection:
        config = _config(connection)
        _check_known(_revision(connection), config)
        command.upgrade(config, revision)


def downgrade(url: str, revision: str = "base") -> None:
    """Go back to an older revision; by default take every table away. Raises as ``upgrade`` does."""
    with dialect.migration(url) as connection:
        config = _config(connection)
        _check_known(_revision(connection), config)
        command.downgrade(config, revision)


def current_revision(database: Database) -> str | None:
    """The revision that the database has; None before the first migration."""
    with database.snapshot() as s:
        return _revision(s.connection())


def newest_revision() -> str:
    """The revision of this version's schema."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def is_current(database: Database) -> bool:
    """True where the database has the newest schema."""
    return current_revision(database) == newest_revision()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _check_known(revision: str | None, config: Config) -> None:
    if revision is None:
        return
    try:
        ScriptDirectory.from_config(config).get_revision(revision)
    except CommandError as error:
        raise SchemaError(
            f"the database has schema revision {revision!r}, which this version does not know; "
            "install the newer version of windtunnel that wrote it, or use another database"
        ) from error


def _config(connection: Connection | None = None) -> Config:
    """Alembic's configuration in code: there is no ini file, and no working directory matters."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
