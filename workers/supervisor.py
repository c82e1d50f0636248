"""Holds one job: claims it, runs its process, renews the lease, passes on what is asked of it. Never touches torch."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Literal

from sqlalchemy.orm import Session

from store import leases, logs
from store.database import Database
from store.errors import DATABASE_ERRORS, LeaseLost
from store.leases import Lease
from windtunnel.types import Failure
from workers.child import Child, Exit, safe
from workers.patience import patiently
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

RETRY_BEAT = 1.0
"""Seconds until a beat that met a database error is tried again."""

Reason = Literal["ended", "drain", "asked", "slice", "stalled", "lost"]
"""Reason why watching a process came to its end."""


class Supervisor:
    """Runs one job at most. ``run`` belongs to one thread; any other may call ``stop``.

    Args:
        database: where the job is.
        settings: times, threads, folders.
        worker_id: the name under which the job is claimed.
        device: ``cpu``, or the GPU that the job's process sees.
    """

    def __init__(self, database: Database, settings: WorkerSettings, worker_id: str, device: str = "cpu") -> None:
        self.database, self.settings, self.worker_id, self.device = database, settings, worker_id, device
        self._starting = threading.Lock()
        self._child: Child | None = None
        self._draining = False

    def stop(self) -> None:
        """Let go of the job: its process stops at the next inner step and the job goes back to the queue."""
        with self._starting:
            self._draining = True
            if self._child is not None:
                self._child.nudge()

    def run(self, job_id: str) -> None:
        """Claim the job and see it to the end of this attempt; at once where another worker has it."""
        if self._draining:
            return
        began = time.monotonic()
        with self.database.transaction() as s:
            lease = leases.claim(s, job_id, self.worker_id, self.settings.lease_ttl, threads=self.settings.threads_per_job)
        if lease is None:
            return
        with logs.about(job=job_id, epoch=lease.epoch, worker=self.worker_id):
            self._attempt(lease, began)

    def _attempt(self, lease: Lease, began: float) -> None:
        """Run the job's process under this lease, and write how that ended where the process has not."""
        log.info("an attempt begins")
        try:
            child = Child(self.settings, lease, began + safe(self.settings.lease_ttl) - time.monotonic(), self.device)
        except OSError as error:
            failure = Failure(type="crashed", message=f"the job process could not be started: {error}")
            self._settle(lambda s: leases.crashed(s, lease, failure))
            return
        with self._starting:
            self._child = child
            if self._draining:
                child.nudge()
        reason = self._watch(child, lease, began)
        status = child.end(self.settings.grace)
        log.info("an attempt ends (%s, exit status %d)", reason, status)
        self._account(lease, reason, status)

    def _watch(self, child: Child, lease: Lease, began: float) -> Reason:
        """Keep the lease while the process lives and advances; why that ended. The process may still be ending then."""
        settings = self.settings
        next_beat, kill_at = began + settings.beat, inf
        asked: Reason = "ended"
        while True:
            stalled_at = child.advanced_at + settings.stall_timeout
            if not child.watch(min(next_beat, kill_at, stalled_at) - time.monotonic()):
                return asked
            now = time.monotonic()
            if now >= child.advanced_at + settings.stall_timeout:
                child.kill()
                return "stalled"
            if now >= next_beat:
                try:
                    signals = self._beat(lease)
                except LeaseLost:
                    child.kill()
                    return "lost"
                except DATABASE_ERRORS as error:
                    log.warning("beat failed, trying again: %s", error)
                    next_beat = now + min(RETRY_BEAT, settings.beat)
                else:
                    child.renew()
                    next_beat = now + settings.beat
                    self._draining |= signals.drain
                    if signals.stop and asked in ("ended", "slice"):
                        asked, kill_at = "asked", self._ask(child)
                    elif signals.others_wait and asked == "ended" and now >= began + settings.slice and child.has_advanced:
                        # No patience ends here: an outer step takes as long as it takes, and its checkpoint is the point.
                        child.let_go()
                        asked = "slice"
            if self._draining and asked in ("ended", "slice"):
                asked, kill_at = "drain", self._ask(child)
            if now >= kill_at:
                child.kill()
                kill_at = inf

    def _ask(self, child: Child) -> float:
        """Ask the process to stop; when patience ends, by the monotonic clock."""
        child.terminate()
        return time.monotonic() + self.settings.grace

    def _beat(self, lease: Lease) -> leases.Signals:
        with self.database.transaction() as s:
            return leases.beat(s, lease, self.settings.lease_ttl)

    def _account(self, lease: Lease, reason: Reason, status: int) -> None:
        """Write how the attempt ended, where the process has not done so itself."""
        match reason:
            case "lost":
                return
            case "stalled":
                message = f"the job process finished no inner step for {self.settings.stall_timeout:g} s and was stopped"
                failure = Failure(type="crashed", message=message)
                self._settle(lambda s: leases.crashed(s, lease, failure))
            case "drain" | "asked":  # release knows of a cancel and of a pause, too
                self._settle(lambda s: leases.release(s, lease, "the worker stops"))
            case "slice" if status == Exit.STOPPED:
                self._settle(lambda s: leases.release(s, lease, "its slice is over, and others wait"))
            case "ended" | "slice" if status == Exit.UNRENEWED:
                self._settle(lambda s: leases.release(s, lease, "the lease could not be renewed in time"))
            case "ended" if status == Exit.STOPPED:
                self._settle(lambda s: leases.release(s, lease, "the job process was asked to stop"))
            case "ended" | "slice" if status != Exit.LEASE_LOST:
                # With status SETTLED this meets LeaseLost, unless the process was wrong about itself.
                self._settle(lambda s: leases.crashed(s, lease, death(status)))

    def _settle(self, action: Callable[[Session], None]) -> None:
        def transaction() -> None:
            with self.database.transaction() as s:
                action(s)

        try:
            patiently(transaction, self.settings.lease_ttl)
        except LeaseLost:
            log.debug("the attempt had ended already")
        except DATABASE_ERRORS:
            log.exception("the end of the attempt is not written; its lease will run out")


def death(status: int) -> Failure:
    """Failure that an exit status stands for."""
    if status >= 0:
        message = f"the job process ended with exit status {status} and no result; the worker's log has its last words"
        return Failure(type="crashed", message=message)
    name = signal.Signals(-status).name
    hint = None
    if name == "SIGKILL":
        hint = "the system kills a process so when memory runs out: try a smaller width, batch size or number of seeds"
    return Failure(type="crashed", message=f"the job process was killed by {name}", hint=hint)
