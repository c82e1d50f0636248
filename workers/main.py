"""``windtunnel worker``: a dispatcher on its own, until SIGTERM or SIGINT."""

import logging
import signal
import sys
import threading

from store import logs, schema
from store.database import Database
from store.errors import DATABASE_ERRORS, StoreError
from store.settings import read
from workers.devices import present
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)


def run(settings: WorkerSettings) -> int:
    """Work until asked to stop or drained, then release running jobs and return 0; 1 where the dispatcher broke down.

    Raises:
        SchemaError: the database belongs to a newer version.
        SettingsError: a device is not there.
    """
    settings = present(settings)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    asked = threading.Event()
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    dispatcher = LocalDispatcher(database, settings)
    try:
        dispatcher.start()
        log.info("worker ready: %s, %d threads each", ", ".join(settings.places), settings.threads_per_job)
        while not asked.wait(settings.poll) and dispatcher.alive and not dispatcher.drained:
            pass
        broken = not dispatcher.alive
        log.info("worker stops; running jobs go back to the queue")
        dispatcher.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        database.dispose()
    return 1 if broken else 0


def main() -> int:
    """Run a worker with the settings of the environment; 2 where they cannot work."""
    try:
        settings = read(WorkerSettings)
        logs.configure(settings.log_format)
        return run(settings)
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
    except DATABASE_ERRORS as error:
        sys.stderr.write(f"the database cannot be opened; see WINDTUNNEL_DATABASE_URL and WINDTUNNEL_DATA_DIR: {error}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
