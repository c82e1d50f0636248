"""Requests per minute of each owner: counted in this process, or in Redis where the servers of a fleet share one."""

import logging
import math
import time

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

log = logging.getLogger("windtunnel.service")

KINDS = {"redis://": "redis://", "rediss://": "rediss://", "redis+socket://": "redis+unix://"}
"""Scheme of the broker's address -> the name that the package has for it."""


class Rates:
    """Counts requests in a sliding window of a minute.

    Args:
        per_minute: of one owner, at most; 0 for any number.
        broker_url: the Redis that counts for all servers; None: each counts its own.

    Where Redis does not answer, requests are let through, and the log says so: a limit is no reason to be away.
    """

    def __init__(self, per_minute: int, broker_url: str | None = None) -> None:
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._limiter = SlidingWindowCounterRateLimiter(storage_from_string(_address(broker_url), wrap_exceptions=True))

    def wait(self, owner: str) -> int:
        """Count a request; 0 where it may go on, else the seconds after which to send it again."""
        if self._limit is None:
            return 0
        try:
            if self._limiter.hit(self._limit, "windtunnel", owner):
                return 0
            reset = self._limiter.get_window_stats(self._limit, "windtunnel", owner).reset_time
        except StorageError as error:
            log.warning("requests are not counted while Redis does not answer: %s", error)
            return 0
        return max(1, math.ceil(reset - time.time()))


def _address(broker_url: str | None) -> str:
    if broker_url is None:
        return "memory://"
    for given, known in KINDS.items():
        if broker_url.startswith(given):
            return known + broker_url.removeprefix(given)
    raise ValueError("the broker is Redis: redis://host:port/0, rediss:// with TLS, redis+socket:///path")
