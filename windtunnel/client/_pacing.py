"""When to try again: retries of one call, patience with a lost server, the rhythm of polling."""

import asyncio
import email.utils
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pacing:
    """How often and how long the client tries again. All times in seconds.

    Attributes:
        retries: further tries of one call after the first.
        first_delay: delay before the first retry; it doubles with each one.
        longest_delay: where the doubling stops.
        longest_retry_after: a ``Retry-After`` beyond this ends the call with the server's error.
        patience: how long ``follow`` and ``wait`` look for a server that they had reached before.
        poll: time between two looks at a job that is waited for.
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
        """Seconds asked for by a ``Retry-After`` header (seconds or an HTTP date); None where it says nothing."""
        if header is None:
            return None
        text = header.strip()
        if text.isdecimal():
            return float(text)
        date = email.utils.parsedate_tz(text)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - self.now())


class Patience:
    """Bridges the time without a server, for calls that outlive a restart of it.

    The first contact gets none: an address where nobody ever answered is an error at once.
    """

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._last_contact: float | None = None
        self._attempts = 0

    def contact(self) -> None:
        """The server answered."""
        self._last_contact = self._pacing.monotonic()

    def progress(self) -> None:
        """The server sent something new: the next trouble starts with a short delay again."""
        self.contact()
        self._attempts = 0

    def next_delay(self, error: Exception | None, at_most: float = float("inf")) -> float:
        """Seconds to sleep before the next try.

        Args:
            error: what ended the last try, raised when the patience is used up; None where the server hung up in order.
            at_most: longest sleep, seconds.
        """
        if error is not None and (
            self._last_contact is None or self._pacing.monotonic() - self._last_contact > self._pacing.patience
        ):
            raise error
        delay = self._pacing.delay(self._attempts)
        self._attempts += 1
        return min(delay, at_most)
