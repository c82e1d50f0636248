"""The dispatcher of one machine: a thread that polls the database and runs a supervisor for each busy slot."""

import contextlib
import logging
import threading
import time
from datetime import UTC, datetime

from store import leases
from store import workers as fleet
from store.database import Database
from store.errors import DATABASE_ERRORS, LeaseLost
from workers import identity
from workers.settings import WorkerSettings
from workers.supervisor import Supervisor

log = logging.getLogger(__name__)


class Slot:
    """Room for one job at a time, known to the fleet as one worker."""

    def __init__(self, number: int) -> None:
        self.worker_id = identity.worker_id(number)
        self.started_at = datetime.now(UTC)
        self.job_id: str | None = None
        self.supervisor: Supervisor | None = None
        self.thread: threading.Thread | None = None

    @property
    def free(self) -> bool:
        """Can it take a job?"""
        return self.thread is None or not self.thread.is_alive()


class LocalDispatcher:
    """Runs queued jobs in processes of this machine, inside ``windtunnel serve`` or ``windtunnel worker``.

    Args:
        database: where the jobs are; stays the caller's to dispose of.
        settings: slots, threads, times, folders.
    """

    def __init__(self, database: Database, settings: WorkerSettings) -> None:
        self.database, self.settings = database, settings
        self._slots = [Slot(number) for number in range(settings.slots)]
        self._look = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._announced: dict[str, str | None] = {}
        self._next_announcement = 0.0

    def start(self) -> None:
        """Begin to take jobs; returns at once.

        Raises:
            RuntimeError: it was started before.
        """
        if self._thread is not None:
            raise RuntimeError("a dispatcher starts once; make another one")
        self._thread = threading.Thread(target=self._loop, name="dispatcher", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Does it look for jobs?"""
        return self._thread is not None and self._thread.is_alive() and not self._stopping

    def stop(self) -> None:
        """Take no more jobs, let go of those that run (they go back to the queue), return when that is done."""
        self._stopping = True
        self._look.set()
        if self._thread is not None:
            self._thread.join()
        for slot in self._slots:
            if slot.supervisor is not None:
                slot.supervisor.stop()
        for slot in self._slots:
            if slot.thread is not None:
                slot.thread.join()
        self._leave()

    def _loop(self) -> None:
        while not self._stopping:
            self._look.clear()
            try:
                self._tick()
            except DATABASE_ERRORS as error:
                log.warning("database error, looking again in %g s: %s", self.settings.poll, error)
            self._look.wait(self.settings.poll)

    def _tick(self) -> None:
        """Take back what nobody holds any more, then fill the free slots."""
        self._take_back()
        free = [slot for slot in self._slots if slot.free]
        if free:
            with self.database.transaction() as s:
                waiting = leases.due(s, len(free))
            for slot, job_id in zip(free, waiting, strict=False):
                self._fill(slot, job_id)
        self._announce()

    def _take_back(self) -> None:
        """Requeue jobs whose lease ran out, and at once those whose worker on this machine is dead."""
        with self.database.snapshot() as s:
            orphans = [lease for lease in leases.running(s) if identity.is_dead(lease.worker_id)]
        with self.database.transaction() as s:
            for lease in orphans:
                with contextlib.suppress(LeaseLost):  # another dispatcher of this machine was faster
                    leases.lost(s, lease, f"the process of worker {lease.worker_id} has died")
            for job_id in leases.reap(s):
                log.warning("job %s: its lease ran out, it goes back to the queue", job_id)

    def _fill(self, slot: Slot, job_id: str) -> None:
        supervisor = Supervisor(self.database, self.settings, slot.worker_id)

        def work() -> None:
            try:
                supervisor.run(job_id)
            except DATABASE_ERRORS as error:
                log.warning("job %s: not claimed, it will ring again: %s", job_id, error)
            finally:
                slot.job_id = None
                self._look.set()

        slot.job_id, slot.supervisor = job_id, supervisor
        slot.thread = threading.Thread(target=work, name=f"supervisor of {job_id}", daemon=True)
        slot.thread.start()

    def _announce(self) -> None:
        """Tell the fleet's list what each slot does: on every change, and once a beat."""
        now = time.monotonic()
        busy = {slot.worker_id: slot.job_id for slot in self._slots}
        if busy == self._announced and now < self._next_announcement:
            return
        with self.database.transaction() as s:
            for slot in self._slots:
                fleet.seen(
                    s,
                    slot.worker_id,
                    host=identity.hostname(),
                    device="cpu",
                    threads=self.settings.threads_per_job,
                    started_at=slot.started_at,
                    job_id=busy[slot.worker_id],
                )
        self._announced, self._next_announcement = busy, now + self.settings.beat

    def _leave(self) -> None:
        try:
            with self.database.transaction() as s:
                for slot in self._slots:
                    fleet.gone(s, slot.worker_id)
        except DATABASE_ERRORS as error:
            log.warning("this worker stays on the fleet's list for a day: %s", error)
