"""Opens the database for a command, with errors that say what to do."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from windtunnel.cli.exits import SetupError, SpecError
from windtunnel.cli.extras import need

if TYPE_CHECKING:
    from store.settings import StoreSettings


class Revisions(NamedTuple):
    """Revision of a database's schema, and the newest revision of this version."""

    found: str | None
    """Revision that the database has; None before the first migration, or if there is no database."""
    newest: str


def settings(what: str, data_dir: Path | None, database_url: str | None) -> "StoreSettings":
    """Settings of the server's database: options first, then the environment.

    Args:
        what: name of the command, for the message if a package is missing.
        data_dir: value of ``--data-dir``; None: from the environment.
        database_url: value of ``--database-url``; None: from the environment.

    Raises:
        SpecError: a setting is malformed.
        SetupError: the server's packages, or the driver, are not installed.
    """
    need(what, "server")
    from store.errors import SettingsError
    from store.settings import StoreSettings, read

    try:
        found = read(StoreSettings, data_dir=data_dir, database_url=database_url)
    except SettingsError as error:
        raise SpecError(str(error)) from error
    if found.url.startswith("postgres"):
        need("with a PostgreSQL database", "postgresql")
    return found


def revisions(url: str) -> Revisions:
    """The database's schema revision and the newest one; creates nothing.

    Raises:
        SetupError: the database cannot be reached.
    """
    from store import schema
    from store.database import Database
    from store.dialect import parse_url

    newest, file = schema.newest_revision(), parse_url(url)
    if file.get_backend_name() == "sqlite" and not Path(str(file.database)).exists():
        return Revisions(None, newest)
    try:
        database = Database(url)
        try:
            return Revisions(schema.current_revision(database), newest)
        finally:
            database.dispose()
    except Exception as error:
        # The boundary of a process that has not begun its work: each driver has exceptions of its own.
        raise SetupError(_cannot_open(url, error)) from error


def upgrade(url: str) -> None:
    """Upgrade the database to this version's schema.

    Raises:
        SetupError: the database cannot be reached or written, or a newer version wrote it.
    """
    from store import schema
    from store.errors import StoreError

    try:
        schema.upgrade(url)
    except StoreError as error:
        raise SetupError(str(error)) from error
    except Exception as error:
        # The boundary of a process that has not begun its work: each driver has exceptions of its own.
        raise SetupError(_cannot_open(url, error)) from error


def is_current(url: str) -> bool:
    """True if the database has this version's schema.

    Raises:
        SetupError: the database cannot be reached.
    """
    seen = revisions(url)
    return seen.found == seen.newest


def without_password(url: str) -> str:
    """The database's address with its password masked."""
    return re.sub(r"(://[^:/@]+):[^@]*@", r"\1:***@", url)


def _cannot_open(url: str, error: Exception) -> str:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return (
        f"cannot open the database {without_password(url)}: {reason[0]}. Check that it runs and may be written, "
        "and the address in --database-url or WINDTUNNEL_DATABASE_URL (or the folder in --data-dir)."
    )
