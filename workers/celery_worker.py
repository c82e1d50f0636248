"""A worker that Celery rings for: the task, and what lives as long as the Celery worker does."""

import logging
import os
import signal
import threading
from typing import Any

from celery import Celery, signals

from store import logs, schema
from store.database import Database
from workers.broker import RUN_JOB, make_app
from workers.celery_dispatcher import CeleryDispatcher
from workers.devices import present
from workers.settings import WorkerSettings
from workers.slots import Slots

log = logging.getLogger(__name__)


class CeleryWorker:
    """The slots of one Celery worker process, their dispatcher, and the Celery application that hears the rings.

    Args:
        settings: database, broker, devices, times.

    Raises:
        SettingsError: the settings name no broker.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.app: Celery = make_app(settings)
        self.app.task(name=RUN_JOB)(self.run_job)
        # Strong references: Celery would forget a bound method that nothing else holds.
        signals.setup_logging.connect(self._configure_logs, weak=False)
        signals.worker_init.connect(self._open, weak=False)
        signals.worker_ready.connect(self._begin, weak=False)
        signals.worker_shutting_down.connect(self._let_go, weak=False)
        signals.worker_shutdown.connect(self._close, weak=False)

    def run_job(self, job_id: str) -> None:
        """The task: run the job on a free slot until this attempt ends. Where there is none, it will ring again."""
        slot = self.slots.take(job_id)
        if slot is None:
            return
        self.dispatcher.again()  # tells the fleet at once that this slot is busy
        self.slots.run(slot)

    def _configure_logs(self, **_: Any) -> None:
        logs.configure(self.settings.log_format)

    def _open(self, **_: Any) -> None:
        schema.upgrade(self.settings.url)
        self.database = Database(self.settings.url)
        self.slots = Slots(self.database, self.settings, on_free=self._freed)
        self.dispatcher = CeleryDispatcher(self.database, self.settings, self.slots)

    def _begin(self, **_: Any) -> None:
        self.dispatcher.start()
        threading.Thread(target=self._end_when_drained, name="drain", daemon=True).start()
        devices = ", ".join(self.settings.places)
        log.info("worker ready: %s, %d threads each", devices, self.settings.threads_per_job)

    def _freed(self) -> None:
        self.dispatcher.again()

    def _end_when_drained(self) -> None:
        self.slots.wait_until_drained()
        log.info("every slot is drained; this worker ends")
        os.kill(os.getpid(), signal.SIGTERM)

    def _let_go(self, **_: Any) -> None:
        # Called inside a signal handler, where no lock may be waited for.
        threading.Thread(target=self.slots.stop, name="letting go").start()

    def _close(self, **_: Any) -> None:
        self.dispatcher.stop()
        self.slots.wait()
        self.slots.leave()
        self.database.dispose()


def run(settings: WorkerSettings) -> int:
    """``windtunnel worker --celery``: work until a signal asks to stop, then release running jobs; returns the exit status.

    Raises:
        SettingsError: the settings name no broker, or a device is not there.
        SchemaError: the database belongs to a newer version.
    """
    settings = present(settings)
    schema.upgrade(settings.url)
    worker = CeleryWorker(settings)
    return int(worker.app.worker_main(["--quiet", "worker", "--without-mingle", "--without-gossip"]) or 0)
