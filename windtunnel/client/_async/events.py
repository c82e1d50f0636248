"""Reads the event log of a job, once or live across broken connections and server restarts."""

from collections.abc import AsyncGenerator, AsyncIterator

from pydantic import ValidationError

from windtunnel.client._answers import Items, is_away
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._errors import ApiError, ConnectionFailed, UnexpectedAnswer
from windtunnel.client._pacing import Patience
from windtunnel.client._requests import path
from windtunnel.client._sse import EventStream
from windtunnel.types import TERMINAL_STATES, Job, JobEvent, OuterStep

PAGE = 1000
"""Number of events fetched by one request."""


async def follow_events(transport: AsyncTransport, job_id: str, after: int = 0) -> AsyncGenerator[JobEvent]:
    """Yield every event past number ``after``, each once and in order, until the event that ends the job.

    Raises:
        NotFound: no such job.
        ConnectionFailed: no server answers, or a lost one did not come back within ``pacing.patience`` seconds.
        UnexpectedAnswer: the stream holds something that is not a job event.
    """
    patience = Patience(transport.pacing)
    seen = after
    while True:
        lost: Exception | None = None
        try:
            async with transport.stream(
                path("jobs", job_id, "events"), {"Accept": "text/event-stream", "Last-Event-ID": str(seen)}
            ) as pieces:
                patience.contact()
                async for event in _received(transport, job_id, pieces):
                    patience.progress()
                    # A server may send again what it cannot know to have arrived.
                    if event.seq <= seen:
                        continue
                    seen = event.seq
                    yield event
                    if event.type in TERMINAL_STATES:
                        return
            # The stream ended in order, but not with the job: the server is shutting down, or there is nothing to tell.
            if await _exhausted(transport, job_id, seen):
                return
        except (ConnectionFailed, ApiError) as error:
            if not is_away(error):
                raise
            lost = error
        await transport.pacing.sleep_async(patience.next_delay(lost))


async def read_events(transport: AsyncTransport, job_id: str, after: int = 0) -> AsyncIterator[JobEvent]:
    """Yield the events past number ``after`` that exist now."""
    while True:
        page = await _page(transport, job_id, after, PAGE)
        for event in page:
            yield event
        if len(page) < PAGE:
            return
        after = page[-1].seq


def outer_step(event: JobEvent) -> OuterStep | None:
    """The outer step that an event reports; None if it reports something else."""
    details = event.details if event.type == "outer_step" else None
    return details if isinstance(details, OuterStep) else None


async def _received(transport: AsyncTransport, job_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[JobEvent]:
    stream = EventStream()
    async for piece in pieces:
        for message in stream.feed(piece):
            yield _parse(transport, job_id, message.data)
    for message in stream.end():
        yield _parse(transport, job_id, message.data)


async def _exhausted(transport: AsyncTransport, job_id: str, seen: int) -> bool:
    """True if the job has ended and all its events were seen. State first: an ended job gets no more events."""
    job = await transport.read(Job, path("jobs", job_id))
    return job.state in TERMINAL_STATES and not await _page(transport, job_id, seen, 1)


async def _page(transport: AsyncTransport, job_id: str, after: int, limit: int) -> list[JobEvent]:
    page = await transport.read(Items[JobEvent], path("jobs", job_id, "events"), {"after": after, "limit": limit})
    return page.items


def _parse(transport: AsyncTransport, job_id: str, data: str) -> JobEvent:
    try:
        return JobEvent.model_validate_json(data)
    except ValidationError as error:
        raise UnexpectedAnswer(f"the event stream of {job_id} at {transport.base_url}", str(error)) from error
