"""The dispatcher of a fleet: rings through Redis for jobs that wait, and runs none itself."""

import logging

from kombu.exceptions import OperationalError

from store import outbox
from store import workers as fleet
from store.database import Database
from workers.broker import BROKER_ERRORS, QUEUE, RUN_JOB, make_app, waiting_rings
from workers.dispatching import Loop, take_back
from workers.settings import WorkerSettings
from workers.slots import Slots

log = logging.getLogger(__name__)


class CeleryDispatcher(Loop):
    """Rings for as many jobs as there are workers that nothing else was rung for, in the order of the jobs' turns.

    So no backlog grows in the broker, and a job whose turn comes later never waits there before one whose turn is now.
    Any number may run: each server and each worker of a fleet has one.

    Args:
        database: where the jobs are; stays the caller's to dispose of.
        settings: broker, times.
        slots: those of this process, to be announced; None where it has none.

    Raises:
        SettingsError: the settings name no broker.
    """

    def __init__(self, database: Database, settings: WorkerSettings, slots: Slots | None = None) -> None:
        super().__init__("dispatcher", settings.poll)
        self.database, self.slots = database, slots
        self._app = make_app(settings)
        self._waiting_rings = waiting_rings(settings)
        self._broker_answers = True

    @property
    def alive(self) -> bool:
        """True while it looks for jobs and the broker answers."""
        return super().alive and self._broker_answers

    def turn(self) -> None:
        """Take back jobs whose lease has ended, then ring."""
        if self.slots is not None:
            self.slots.announce()
        take_back(self.database)
        try:
            self._ring()
        except (*BROKER_ERRORS, OperationalError) as error:
            if self._broker_answers:
                log.warning("the broker does not answer, nothing is rung until it does: %s", error)
            self._broker_answers = False
        else:
            if not self._broker_answers:
                log.info("the broker answers again")
            self._broker_answers = True

    def _ring(self) -> None:
        waiting = self._waiting_rings()  # first: while the broker is away no ring is booked as sent
        with self.database.transaction() as s:
            room = fleet.free(s) - waiting
            rung = outbox.due(s, room) if room > 0 else []
        for job_id in rung:
            self._app.send_task(RUN_JOB, args=[job_id], queue=QUEUE)

    def stop(self) -> None:
        """Ring no more; returns when that is so."""
        self.halt()
        self._app.close()
