"""Base of every dispatcher: looks at the database again and again, takes back lost jobs, rings for those that wait.

The database is the queue; a ring only makes a worker look sooner. All transitions are compare-and-set, so any number of
dispatchers may run.
"""

import contextlib
import logging
import threading
from abc import ABC, abstractmethod
from typing import Protocol

from store import leases
from store.database import Database
from store.errors import DATABASE_ERRORS, LeaseLost
from workers import identity

log = logging.getLogger(__name__)


class Dispatcher(Protocol):
    """Sees to it that jobs that wait get a worker."""

    @property
    def alive(self) -> bool:
        """True while it looks for jobs."""

    def start(self) -> None:
        """Begin to look; returns at once.

        Raises:
            RuntimeError: it was started before.
        """

    def stop(self) -> None:
        """Stop looking for jobs and release its own running jobs, which go back to the queue; return when that is done."""


class Loop(ABC):
    """A thread that does one thing again and again, also while the database does not answer.

    Args:
        name: of the thread.
        pause: seconds between two turns; ``again`` makes the next one come at once.
    """

    def __init__(self, name: str, pause: float) -> None:
        self._pause = pause
        self._look = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._name = name

    @abstractmethod
    def turn(self) -> None:
        """Take one turn; a database error in it is logged, and the next turn comes as always."""

    @property
    def alive(self) -> bool:
        """True while it is to go on."""
        return self._thread is not None and self._thread.is_alive() and not self._stopping

    def start(self) -> None:
        """Begin; returns at once. Raises RuntimeError where it was started before."""
        if self._thread is not None:
            raise RuntimeError("a dispatcher starts once; make another one")
        self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
        self._thread.start()

    def again(self) -> None:
        """Do not wait for the next turn."""
        self._look.set()

    def halt(self) -> None:
        """Take no other turn; return when the present one is over."""
        self._stopping = True
        self._look.set()
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        while not self._stopping:
            self._look.clear()
            try:
                self.turn()
            except DATABASE_ERRORS as error:
                log.warning("database error, looking again in %g s: %s", self._pause, error)
            self._look.wait(self._pause)


def take_back(database: Database) -> None:
    """Requeue jobs whose lease ran out, and at once those whose worker on this machine is dead."""
    with database.snapshot() as s:
        orphans = [lease for lease in leases.running(s) if identity.is_dead(lease.worker_id)]
    with database.transaction() as s:
        for lease in orphans:
            with contextlib.suppress(LeaseLost):  # another dispatcher of this machine was faster
                leases.lost(s, lease, f"the process of worker {lease.worker_id} has died")
        reaped = leases.reap(s)
    for job_id in reaped:  # only now is it written
        log.warning("job %s: its lease ran out, it goes back to the queue", job_id)
