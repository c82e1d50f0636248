"""Opens the database for a command, with an error that a person can act on."""

import re

from windtunnel.cli.exits import SetupError


def upgrade(url: str) -> None:
    """Bring the database to this version's schema.

    Raises:
        SetupError: it cannot be reached or written, or a newer version wrote it.
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
    """Has the database this version's schema?

    Raises:
        SetupError: it cannot be reached.
    """
    from store import schema
    from store.database import Database

    try:
        database = Database(url)
        try:
            return schema.is_current(database)
        finally:
            database.dispose()
    except Exception as error:
        # As above: what is asked for is a sentence, whatever the driver raised.
        raise SetupError(_cannot_open(url, error)) from error


def without_password(url: str) -> str:
    """The address as it may be shown."""
    return re.sub(r"(://[^:/@]+):[^@]*@", r"\1:***@", url)


def _cannot_open(url: str, error: Exception) -> str:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return (
        f"cannot open the database {without_password(url)}: {reason[0]}. Check that it runs and may be written, "
        "and the address in --database-url or WINDTUNNEL_DATABASE_URL (or the folder in --data-dir)."
    )
