"""The slots of one process: room for one job each, on a device, known to the fleet as one worker each."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from store import workers as fleet
from store.database import Database
from store.errors import DATABASE_ERRORS
from workers import identity
from workers.settings import WorkerSettings
from workers.supervisor import Supervisor

log = logging.getLogger(__name__)


class Slot:
    """Room for one job at a time."""

    def __init__(self, number: int, device: str) -> None:
        self.worker_id, self.device = identity.worker_id(number), device
        self.started_at = datetime.now(UTC)
        self.job_id: str | None = None
        self.supervisor: Supervisor | None = None
        self.draining = False


class Slots:
    """All slots of a process; any thread may use them.

    Args:
        database: where the jobs are; stays the caller's to dispose of.
        settings: devices, slots, threads, times, folders.
        on_free: called whenever a slot has become free.
    """

    def __init__(self, database: Database, settings: WorkerSettings, on_free: Callable[[], None] = lambda: None) -> None:
        self.database, self.settings, self._on_free = database, settings, on_free
        self._slots = [Slot(number, device) for number, device in enumerate(settings.places)]
        self._lock = threading.Condition()
        self._stopping = False
        self._announced: dict[str, str | None] = {}
        self._next_announcement = 0.0

    @property
    def free(self) -> int:
        """Slots that can take a job."""
        with self._lock:
            return sum(self._is_free(slot) for slot in self._slots)

    def take(self, job_id: str) -> Slot | None:
        """A free slot, reserved for this job until ``run`` is over; None where there is none."""
        with self._lock:
            slot = next((slot for slot in self._slots if self._is_free(slot)), None)
            if slot is not None:
                slot.job_id = job_id
                slot.supervisor = Supervisor(self.database, self.settings, slot.worker_id, slot.device)
            return slot

    def run(self, slot: Slot) -> None:
        """Claim the job that the slot was taken for and see it to the end of this attempt; then the slot is free."""
        assert slot.supervisor is not None and slot.job_id is not None
        try:
            slot.supervisor.run(slot.job_id)
        except DATABASE_ERRORS as error:
            log.warning("job %s: not claimed, it will ring again: %s", slot.job_id, error)
        finally:
            with self._lock:
                slot.job_id = slot.supervisor = None
                self._lock.notify_all()
            self._on_free()

    def stop(self) -> None:
        """Take no more jobs and release the running ones, which go back to the queue. Returns at once."""
        with self._lock:
            self._stopping = True
            held = [slot.supervisor for slot in self._slots if slot.supervisor is not None]
        for supervisor in held:
            supervisor.stop()

    def wait(self) -> None:
        """Return when no slot runs a job."""
        with self._lock:
            self._lock.wait_for(lambda: all(slot.job_id is None for slot in self._slots))

    @property
    def drained(self) -> bool:
        """True where every slot was asked to drain and none runs a job any more."""
        with self._lock:
            return all(slot.draining and slot.job_id is None for slot in self._slots)

    def wait_until_drained(self) -> None:
        """Return when every slot was asked to drain and none runs a job any more."""
        with self._lock:
            self._lock.wait_for(lambda: all(slot.draining and slot.job_id is None for slot in self._slots))

    def announce(self) -> None:
        """Tell the fleet's list what each slot does, on every change and once a beat; learn which are being drained."""
        now = time.monotonic()
        busy = {slot.worker_id: slot.job_id for slot in self._slots}
        if busy == self._announced and now < self._next_announcement:
            return
        with self.database.transaction() as s:
            for slot in self._slots:
                slot.draining = fleet.seen(
                    s,
                    slot.worker_id,
                    host=identity.hostname(),
                    device=self.settings.title(slot.device)[:100],
                    threads=self.settings.threads_per_job,
                    started_at=slot.started_at,
                    job_id=busy[slot.worker_id],
                )
        self._announced, self._next_announcement = busy, now + self.settings.beat
        with self._lock:
            self._lock.notify_all()

    def leave(self) -> None:
        """Take the slots off the fleet's list."""
        try:
            with self.database.transaction() as s:
                for slot in self._slots:
                    fleet.gone(s, slot.worker_id)
        except DATABASE_ERRORS as error:
            log.warning("this worker stays on the fleet's list for a day: %s", error)

    def _is_free(self, slot: Slot) -> bool:
        return slot.job_id is None and not slot.draining and not self._stopping
