"""``client.jobs``: submit, fork, find, compare, pause, resume, cancel and delete jobs."""

import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import httpx

from windtunnel.client._answers import parse
from windtunnel.client._async.job import AsyncJob, fork_job
from windtunnel.client._async.naming import dataset_called, post_spec
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._errors import InvalidRequest, ValidationFailed
from windtunnel.client._requests import path
from windtunnel.client._specs import request_body
from windtunnel.types import Job as WireJob
from windtunnel.types import JobPage, JobSpec, JobState
from windtunnel.types.comparisons import Comparison
from windtunnel.types.jobs import JobSort, SortOrder

PAGE = 50
"""Number of jobs that ``list`` fetches by one request."""
SHORTEST = 4
"""Least number of characters at the end of an id by which ``find`` finds a job."""
NAMED = 3
"""Jobs that ``find`` names, at most, where several fit."""
JOB_ID = re.compile("job_[0-9a-z]{26}")
"""Pattern of a whole id."""


class AsyncJobs:
    """The jobs of a server."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self, spec: JobSpec | Mapping[str, Any] | None = None, /, *, idempotency_key: str | None = None, **fields: Any
    ) -> AsyncJob:
        """Submit a job: ``create(task="digits", target={"width": 1024})`` or ``create(spec)``.

        The server checks the spec, so an error reads the same from every language.

        Args:
            spec: a whole spec; or give its fields by name.
            idempotency_key: two calls with one key and one spec make one job, also from two processes. By default
                each call has its own key, which its retries share.
            **fields: the fields of a JobSpec. Only ``task`` has no default; it may be the name of a data set that no task
                of the server has.

        Raises:
            ValidationFailed: a field is wrong; ``errors`` names it and what is allowed.
            InvalidRequest: both ``spec`` and fields are given, or something that is not JSON.
        """
        body = request_body(spec, fields)
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return self._handle(await post_spec(self._transport, path("jobs"), body, headers))

    async def get(self, job_id: str) -> AsyncJob:
        """The job with this id.

        Raises:
            NotFound: no such job.
        """
        return self._handle(await self._transport.get(path("jobs", job_id)))

    async def compare(self, *jobs: str | AsyncJob) -> Comparison:
        """Several jobs side by side: curves over cost, points tried, importances, differences in spec and result.

        ``windtunnel.figures.losses_over_cost`` and its neighbours draw it.

        Args:
            *jobs: up to 8 jobs, or their ids.

        Raises:
            NotFound: no such job.
            ValidationFailed: no job is given, or too many.
        """
        ids = [each if isinstance(each, str) else each.id for each in jobs]
        return await self._transport.read(Comparison, path("jobs", "compare"), {"job": ids})

    async def find(self, text: str) -> AsyncJob:
        """The job with this id, or the only one whose id ends with this text of 4 characters or more, as pages show it.

        Raises:
            NotFound: no such job.
            InvalidRequest: several ids end so; the message names them.
        """
        end = text.lower()
        if len(end) < SHORTEST or JOB_ID.fullmatch(text):
            return await self.get(text)
        found = []
        async for job in self.list(search=end):
            if job.id.endswith(end):
                found.append(job)
            if len(found) > NAMED:
                break
        if not found:
            return await self.get(text)  # the server says that there is none
        if len(found) > 1:
            named = ", ".join(f"{job.id} ({job.name or job.spec.task})" for job in found[:NAMED])
            more = " and more" if len(found) > NAMED else ""
            raise InvalidRequest(f"the ids of several jobs end with {text}: {named}{more}; give more characters")
        return found[0]

    async def list(
        self,
        *,
        state: JobState | None = None,
        task: str | None = None,
        search: str | None = None,
        tag: str | None = None,
        sort: JobSort | None = None,
        order: SortOrder | None = None,
    ) -> AsyncIterator[AsyncJob]:
        """Yield jobs, newest first or in another order; pages are fetched as needed.

        Args:
            state: only jobs in this state.
            task: only jobs of this task or data set, given by its id or by a name that no other has.
            search: only jobs with this text in their name, task, tags or data set's name, or at the end of their id;
                upper and lower case count as equal.
            tag: only jobs with this tag.
            sort: created (the default), name, task, state, loss (the best one) or cost (in runs).
            order: asc or desc; by default the newest first, else the least. A job without a value comes last.
        """
        wanted: dict[str, str | int | Sequence[str]] = {"limit": PAGE}
        given = (
            ("state", state),
            ("task", task),
            ("search", search),
            ("tag", tag),
            ("sort", sort),
            ("order", order),
        )
        wanted |= {name: value for name, value in given if value is not None}
        while True:
            page = await self._page(wanted)
            for item in page.items:
                yield AsyncJob(self._transport, item)
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    async def counts(
        self, *, task: str | None = None, search: str | None = None, tag: str | None = None
    ) -> dict[JobState, int]:
        """Number of jobs in each state that has any, of those that ``list`` would yield with the same arguments."""
        given = {"task": task, "search": search, "tag": tag}
        page = await self._page({"limit": 1, **{name: value for name, value in given.items() if value is not None}})
        return page.counts

    async def fork(
        self,
        job_id: str,
        overrides: Mapping[str, Any] | None = None,
        /,
        *,
        from_best: bool = False,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> AsyncJob:
        """Submit another job with this job's spec, except for the fields given, as ``fork`` of a job does.

        Raises:
            NotFound: no such job.
        """
        return await fork_job(self._transport, job_id, overrides, fields, from_best, idempotency_key)

    async def cancel(self, job_id: str) -> AsyncJob:
        """Ask the server to end the job. A queued job is cancelled at once, a running one at its next inner step.

        Raises:
            NotFound: no such job.
        """
        return await self._ask(job_id, "cancel")

    async def pause(self, job_id: str) -> AsyncJob:
        """Ask the server to pause the job until it is resumed. A running job writes a checkpoint and frees its worker soon.

        Raises:
            NotFound: no such job.
        """
        return await self._ask(job_id, "pause")

    async def resume(self, job_id: str) -> AsyncJob:
        """Resume a paused job from its checkpoint; does nothing in any other state.

        Raises:
            NotFound: no such job.
        """
        return await self._ask(job_id, "resume")

    async def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with its log, metrics, result, checkpoints and plans. They cannot be restored.

        Raises:
            JobNotEnded: the job has not ended; cancel it first.
            NotFound: no such job.
        """
        await self._transport.delete(path("jobs", job_id))

    async def _page(self, wanted: dict[str, str | int | Sequence[str]]) -> JobPage:
        """One page; a task that is the name of a data set is replaced by its id in ``wanted``."""
        try:
            return await self._transport.read(JobPage, path("jobs"), wanted)
        except ValidationFailed as refusal:
            task = wanted.get("task")
            if not isinstance(task, str) or "/task" not in {error.pointer for error in refusal.errors}:
                raise
            called = await dataset_called(self._transport, task)
            if called in (None, task):
                raise
        wanted["task"] = called
        return await self._transport.read(JobPage, path("jobs"), wanted)

    async def _ask(self, job_id: str, what: Literal["cancel", "pause", "resume"]) -> AsyncJob:
        return self._handle(await self._transport.post(path("jobs", job_id, what), {}))

    def _handle(self, response: httpx.Response) -> AsyncJob:
        return AsyncJob(self._transport, parse(WireJob, response))
