"""The dispatcher of one machine: a thread that polls the database and runs a supervisor for each busy slot."""

import threading

from store import outbox
from store.database import Database
from workers.dispatching import Loop, take_back
from workers.settings import WorkerSettings
from workers.slots import Slots


class LocalDispatcher(Loop):
    """Runs queued jobs in processes of this machine, inside ``windtunnel serve`` or ``windtunnel worker``.

    Args:
        database: where the jobs are; stays the caller's to dispose of.
        settings: slots, threads, times, folders.
    """

    def __init__(self, database: Database, settings: WorkerSettings) -> None:
        super().__init__("dispatcher", settings.poll)
        self.database = database
        self._slots = Slots(database, settings, on_free=self.again)

    @property
    def drained(self) -> bool:
        """True where every slot was asked to drain and has released its job."""
        return self._slots.drained

    def turn(self) -> None:
        """Take back jobs whose lease has ended, then fill the free slots."""
        take_back(self.database)
        free = self._slots.free
        if free:
            with self.database.transaction() as s:
                waiting = outbox.due(s, free)
            for job_id in waiting:
                slot = self._slots.take(job_id)
                assert slot is not None, "only this thread takes slots"
                name = f"supervisor of {job_id}"
                threading.Thread(target=self._slots.run, args=(slot,), name=name, daemon=True).start()
        self._slots.announce()

    def stop(self) -> None:
        """Take no more jobs and release the running ones, which go back to the queue; return when that is done."""
        self.halt()
        self._slots.stop()
        self._slots.wait()
        self._slots.leave()
