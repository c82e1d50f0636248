"""The loop that empties the outbox of webhooks, in each server; any number of servers may run it on one database."""

import logging
import threading
import time
from functools import partial

from service.settings import ServiceSettings
from service.webhooks.sending import Line, deliver
from store import deliveries
from store.database import Database
from store.deliveries import Attempt, Outcome
from store.errors import DATABASE_ERRORS
from windtunnel.types.webhooks import PING

log = logging.getLogger("windtunnel.service")

AT_ONCE = 8
"""Attempts of one server in progress."""

MARGIN = 60.0
"""Seconds beyond the time-out after which an attempt counts as lost: a slow resolver, a database that comes back late."""

SLOWER = 4.0
"""Factor of each pause between attempts over the one before."""

PATIENCE = 3.0
"""Seconds that attempts have to end when the server stops. One that takes longer comes up again in another server."""


class Sender:
    """A thread that looks into the outbox again and again, and one thread for each attempt.

    Args:
        database: stays the caller's to dispose of.
        settings: times, attempts, networks beside the public ones.
    """

    def __init__(self, database: Database, settings: ServiceSettings) -> None:
        self._database, self._settings = database, settings
        self._look = threading.Event()
        self._stopping = False
        self._lock = threading.Lock()
        self._lines: dict[str, tuple[Line, threading.Thread]] = {}
        """Attempts in progress by their webhook."""
        self._thread = threading.Thread(target=self._loop, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin; returns at once. Once only."""
        self._thread.start()

    def again(self) -> None:
        """There is something to send: do not wait for the next look."""
        self._look.set()

    def stop(self) -> None:
        """Send nothing more; attempts in progress are ended and given back."""
        self._stopping = True
        self._look.set()
        self._thread.join()
        with self._lock:
            open_ones = list(self._lines.values())
        for line, _ in open_ones:
            line.end()
        until = time.monotonic() + PATIENCE
        for _, thread in open_ones:
            thread.join(max(0.0, until - time.monotonic()))

    def _loop(self) -> None:
        while not self._stopping:
            self._look.clear()
            try:
                self._turn()
            except DATABASE_ERRORS as error:
                log.warning("webhooks: database error, looking again in %g s: %s", self._settings.webhook_poll, error)
            self._look.wait(self._settings.webhook_poll)

    def _turn(self) -> None:
        """Begin as many attempts as are due and have room."""
        with self._lock:
            busy = set(self._lines)
        free = AT_ONCE - len(busy)
        if not free:
            return
        with self._database.snapshot() as s:
            if not deliveries.any_due(s):
                return
        timeout = self._settings.webhook_timeout
        with self._database.transaction() as s:
            claimed = deliveries.claim(s, free, timeout + MARGIN, busy)
        for attempt in claimed:
            line = Line(timeout)
            name = f"webhook {attempt.webhook_id}"
            thread = threading.Thread(target=self._attempt, args=(attempt, line), name=name, daemon=True)
            with self._lock:
                self._lines[attempt.webhook_id] = (line, thread)
            thread.start()

    def _attempt(self, attempt: Attempt, line: Line) -> None:
        try:
            try:
                outcome = deliver(attempt, line, self._settings.webhook_networks)
            except Exception:
                # The boundary of an attempt: one message that cannot be sent is no reason to try it for ever.
                log.exception("webhook %s, message %s: the attempt failed", attempt.webhook_id, attempt.message_id)
                outcome = Outcome(error="the server failed on this attempt; its log says where")
            if self._stopping and outcome.status is None:
                write = partial(deliveries.give_back, attempt=attempt)
            else:
                write = partial(deliveries.record, attempt=attempt, outcome=outcome, again_in=self._pause(attempt))
            if outcome.error is not None:
                log.info("webhook %s, message %s: %s", attempt.webhook_id, attempt.message_id, outcome.error)
            with self._database.transaction() as s:
                write(s)
        except DATABASE_ERRORS as error:
            log.warning("webhook %s: the attempt is not written down, another follows: %s", attempt.webhook_id, error)
        finally:
            with self._lock:
                del self._lines[attempt.webhook_id]
            self.again()

    def _pause(self, attempt: Attempt) -> float | None:
        """Seconds until the attempt after this one; None where there is none."""
        if attempt.type == PING or attempt.number >= self._settings.webhook_attempts:
            return None
        return self._settings.webhook_retry * SLOWER ** (attempt.number - 1)
