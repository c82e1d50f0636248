"""Times of the client: retries of one call, waiting for a lost server, and the interval of polling."""

import asyncio
import email.utils
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pacing:
    """Retries and waiting times of the client, in seconds.

    Attributes:
        retries: further tries of one call after the first.
        first_delay: delay before the first retry; it doubles with each one.
        longest_delay: longest delay; the doubling stops there.
        longest_retry_after: longest ``Retry-After`` that is waited for; beyond it the call raises the server's error.
        patience: time that ``follow`` and ``wait`` keep trying to reach a server that they had reached before.
        poll: time between two reads of a job that is waited for.
        sleep, sleep_async, monotonic, now, jitter: the clocks, and a number in [0, 1) for each delay.
    """

    retries: int = 2
    first_delay: float = 0.5
    longest_delay: float = 8.0
    longest_retry_after: float = 60.0
    patience: float = 300.0
    poll: float = 0.5
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int) -> float:
        """Seconds before retry number ``attempt`` (from 0): exponential, less up to a quarter.

        The jitter keeps clients that lost the same server from coming back at the same moment.
        """
        # 2**attempt is capped through the exponent: patience may try hundreds of times.
        grown = self.first_delay * 2.0 ** min(attempt, 30)
        return min(grown, self.longest_delay) * (1 - 0.25 * self.jitter())

    def retry_after(self, header: str | None) -> float | None:
        """Seconds that a ``Retry-After`` header (seconds or an HTTP date) asks for; None without a readable header."""
        if header is None:
            return None
        text = header.strip()
        if text.isdecimal():
            return float(text)
        date = email.utils.parsedate_tz(text)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - self.now())


class Patience:
    """Delays between tries while a server is lost, for calls that outlive its restart.

    A server that was never reached gets no further try: its error is raised at once.
    """

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._last_contact: float | None = None
        self._attempts = 0

    def contact(self) -> None:
        """Note that the server answered."""
        self._last_contact = self._pacing.monotonic()

    def progress(self) -> None:
        """Note that the server sent something new: the next loss starts with a short delay again."""
        self.contact()
        self._attempts = 0

    def next_delay(self, error: Exception | None, at_most: float = float("inf")) -> float:
        """Seconds to sleep before the next try.

        Args:
            error: error of the last try, raised once ``patience`` is used up; None if the server closed normally.
            at_most: upper bound of the sleep, seconds.
        """
        if error is not None and (
            self._last_contact is None or self._pacing.monotonic() - self._last_contact > self._pacing.patience
        ):
            raise error
        delay = self._pacing.delay(self._attempts)
        self._attempts += 1
        return min(delay, at_most)
