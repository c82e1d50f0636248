"""Notes when each API key was last used, aside from the requests: no read waits for a write, or fails by one."""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from store import keys
from store.database import Database

log = logging.getLogger("windtunnel.service")

PAUSE = 1.0
"""Seconds between two writes, at least."""


class KeyUses:
    """A thread that writes the notes of many requests in one transaction; what cannot be written is dropped and counted.

    Args:
        database: stays the caller's to dispose of.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._any = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="key-uses", daemon=True)
        self.failures = 0
        """Writes that the database refused since the server started."""

    def start(self) -> None:
        """Begin; returns at once. Once only."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is still to be noted, and end."""
        self._stopping.set()
        self._any.set()
        self._thread.join()

    def note(self, key_id: str) -> None:
        """Have the use of a key written down soon."""
        with self._lock:
            self._used.add(key_id)
        self._any.set()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._any.wait()
            self._write()
            self._stopping.wait(PAUSE)
        self._write()

    def _write(self) -> None:
        self._any.clear()
        with self._lock:
            used, self._used = self._used, set()
        if not used:
            return
        try:
            with self._database.transaction() as session:
                keys.used(session, used)
        except SQLAlchemyError as error:  # whatever it is: a note is no reason to end the thread
            if not self.failures:
                log.warning("the use of keys is not noted: %s", error)
            self.failures += 1
