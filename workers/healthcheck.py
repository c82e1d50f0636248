"""``python -m workers.healthcheck``: status 0 where a worker of this machine was heard of by the database lately."""

import sys
from datetime import UTC, datetime

from store import workers
from store.database import Database
from store.errors import DATABASE_ERRORS, StoreError
from store.settings import StoreSettings, read
from workers import identity


def main() -> int:
    """Look once; 1 where no worker of this machine, or the database, was heard."""
    try:
        database = Database(read(StoreSettings).url)
        try:
            with database.snapshot() as s:
                fleet = workers.listing(s)
        finally:
            database.dispose()
    except (*DATABASE_ERRORS, StoreError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    now = datetime.now(UTC)
    heard = [worker for worker in fleet if (now - worker.seen_at).total_seconds() < workers.SILENT]
    if any(worker.host == identity.hostname() for worker in heard):
        return 0
    sys.stderr.write(f"no worker of {identity.hostname()} was heard of within {workers.SILENT:g} s\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
