"""A job's event log as server-sent events: replay from any point, then live, until the job has ended."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from service.caller import Caller
from service.turns import Places
from store import events, jobs
from store.database import Database
from store.errors import DATABASE_ERRORS
from windtunnel.types import TERMINAL_STATES, JobEvent

log = logging.getLogger("windtunnel.service")

BATCH = 500
KEEPALIVE_SECONDS = 10.0
RETRY_MILLISECONDS = 1000
"""Milliseconds that a browser waits before it connects again."""


class EventStream(EventSourceResponse):
    """Answer that takes one of its owner's places from its first byte to its last; 429 where there is none."""

    def __init__(self, body: AsyncIterator[bytes], places: Places, owner: str) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no", "vary": "accept"}
        super().__init__(body, headers=headers)
        self._places, self._owner = places, owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, as long as it lasts."""
        with self._places.take(self._owner):
            await super().__call__(scope, receive, send)


async def changes(
    database: Database,
    caller: Caller,
    *,
    poll: float,
    stopping: asyncio.Event,
    disconnected: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """Stream of ids of the caller's jobs, one each time that one of them begins, has a new event or ends.

    It is for all the tabs of one browser, which has six connections to a server and must not spend one a tab. What it
    says holds from its beginning on: a reader that comes (again) looks at its jobs once by itself.

    Args:
        database: where the logs are.
        caller: whose jobs they are.
        poll: seconds between two looks.
        stopping: set when the server shuts down.
        disconnected: says whether the reader has gone.
    """
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    known: dict[str, int] | None = None
    spoken = time.monotonic()
    while not stopping.is_set() and not await disconnected():
        try:
            seen = await run_in_threadpool(_newest, database, caller)
        except DATABASE_ERRORS as error:
            log.warning("changes of jobs: the database does not answer: %s", error)
            return
        before = seen if known is None else known
        for job_id in sorted(job for job in seen.keys() | before.keys() if seen.get(job) != before.get(job)):
            spoken = time.monotonic()
            yield format_sse_event(event="changed", data_str=job_id)
        known = seen
        if time.monotonic() - spoken > KEEPALIVE_SECONDS:
            spoken = time.monotonic()
            yield KEEPALIVE_COMMENT
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), poll)


def _newest(database: Database, caller: Caller) -> dict[str, int]:
    with database.snapshot() as session:
        return events.newest(session, owner=caller.owner)


async def stream(
    database: Database,
    caller: Caller,
    job_id: str,
    after: int,
    *,
    poll: float,
    stopping: asyncio.Event,
    disconnected: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """Stream of every event with seq above ``after``, once and in order; ends after the last event of an ended job.

    It also ends when the database does not answer: the reader comes back with its Last-Event-ID.

    Args:
        database: where the log is.
        caller: whose job it is.
        job_id: of which the log is.
        after: seq of the last event that the reader has.
        poll: seconds between two looks.
        stopping: set when the server shuts down; the reader connects again elsewhere with its Last-Event-ID.
        disconnected: says whether the reader has gone.
    """
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    spoken = time.monotonic()
    while not stopping.is_set() and not await disconnected():
        try:
            batch, ended = await run_in_threadpool(_look, database, caller, job_id, after)
        except DATABASE_ERRORS as error:
            log.warning("events of job %s: the database does not answer: %s", job_id, error)
            return
        for event in batch:
            after = event.seq
            yield format_sse_event(id=str(event.seq), event=event.type, data_str=event.model_dump_json())
        if batch:
            spoken = time.monotonic()
            if len(batch) == BATCH:
                continue
        if ended:
            return
        if time.monotonic() - spoken > KEEPALIVE_SECONDS:
            spoken = time.monotonic()
            yield KEEPALIVE_COMMENT
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), poll)


def _look(database: Database, caller: Caller, job_id: str, after: int) -> tuple[list[JobEvent], bool]:
    """The next events, and whether the job has ended: one snapshot, so that an ended job's batch is complete."""
    with database.snapshot() as session:
        state = jobs.get(session, job_id, owner=caller.owner).state
        return events.after(session, job_id, after, limit=BATCH, owner=caller.owner), state in TERMINAL_STATES
