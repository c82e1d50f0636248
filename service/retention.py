"""Deletes jobs that ended longer ago than the server keeps them. Any number of servers may do it on one database."""

import logging
import threading

from service.settings import ServiceSettings
from store import removal
from store.database import Database
from store.errors import DATABASE_ERRORS, JobNotFound
from store.files import remove_job_files

log = logging.getLogger("windtunnel.service")

BATCH = 100
"""Jobs looked for at once; each is deleted in a transaction of its own, so that nobody waits long."""

PAUSE = 600.0
"""Seconds between two looks."""

DAY = 86_400.0


class Janitor:
    """A thread that looks for jobs to delete; it does nothing where jobs are kept for ever.

    Args:
        database: stays the caller's to dispose of.
        settings: for how long jobs are kept, and where their files lie.
    """

    def __init__(self, database: Database, settings: ServiceSettings) -> None:
        self._database, self._settings = database, settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="retention", daemon=True)

    def start(self) -> None:
        """Begin; returns at once. Once only."""
        self._thread.start()

    def stop(self) -> None:
        """End after the job in hand."""
        self._stopping.set()
        self._thread.join()

    def _loop(self) -> None:
        if not self._settings.keep_jobs_days:
            return
        while not self._stopping.is_set():
            try:
                removed = self.turn()
            except DATABASE_ERRORS as error:
                log.warning("old jobs are not deleted, looking again in %g s: %s", PAUSE, error)
            else:
                if removed:
                    log.info("%d jobs ended more than %g days ago and are deleted", removed, self._settings.keep_jobs_days)
            self._stopping.wait(PAUSE)

    def turn(self) -> int:
        """Delete every job that is old enough; their number."""
        removed = 0
        while not self._stopping.is_set():
            with self._database.snapshot() as session:
                old = removal.ended_before(session, self._settings.keep_jobs_days * DAY, BATCH)
            for job_id, owner in old:
                if self._stopping.is_set():
                    break
                try:
                    with self._database.transaction() as session:
                        removal.remove_job(session, job_id, owner=owner)
                except JobNotFound:  # another server was faster, or its owner
                    continue
                remove_job_files(self._settings.data_dir, job_id)
                removed += 1
            if len(old) < BATCH:
                break
        return removed
