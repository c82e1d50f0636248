"""Database errors pass: try again until it works or the time is up."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from store.errors import DATABASE_ERRORS

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.05, 2.0
"""Seconds between two tries: the first pause, and the longest."""

Value = TypeVar("Value")


def patiently(action: Callable[[], Value], seconds: float) -> Value:
    """The value of ``action``, a whole transaction that may be run again even if its commit went through unconfirmed.

    Raises the last database error once ``seconds`` have passed.
    """
    end = time.monotonic() + seconds
    pause = SHORTEST
    while True:
        try:
            return action()
        except DATABASE_ERRORS as error:
            if time.monotonic() + pause > end:
                raise
            log.warning("database error, trying again in %.2g s: %s", pause, error)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)
