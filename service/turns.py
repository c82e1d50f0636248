"""Shares of one server: so many things of an owner at the same time, and owners in turn at what is done one by one."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Iterator

from service.problems.answers import problem

RETRY_AFTER = "2"
"""Seconds after which one that was refused may have room."""


class Places:
    """Places that each owner has in this server. Used in the event loop alone.

    Args:
        most: places of one owner.
        what: plural of what takes a place, for the refusal.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what = most, what
        self._taken: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def take(self, owner: str) -> Iterator[None]:
        """Hold a place of the owner.

        Raises:
            ProblemError: 429, the owner has taken every one.
        """
        if self._taken[owner] >= self._most:
            detail = f"you have {self._most} {self._what} open at the same time; allowed: {self._most}; end one first"
            refusal = problem(429, "too-many-at-once", "Too many at the same time", detail)
            refusal.headers = {"retry-after": RETRY_AFTER}
            raise refusal
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]


class Turns:
    """One at a time; of those that wait, the owners take turns, whoever sent how many. Used in the event loop alone."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: collections.OrderedDict[str, collections.deque[asyncio.Future[None]]] = collections.OrderedDict()

    @contextlib.asynccontextmanager
    async def take(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn of the owner, and hold it."""
        if self._busy:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(owner, collections.deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._next()
                raise
        self._busy = True
        try:
            yield
        finally:
            self._next()

    def _next(self) -> None:
        """Give the turn to the owner who had none for longest; the owner of this one goes to the end of the line."""
        while self._waiting:
            owner, line = self._waiting.popitem(last=False)
            turn = line.popleft()
            if line:
                self._waiting[owner] = line
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False
