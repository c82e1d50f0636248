"""``client.jobs``: submit, find, pause, resume and cancel jobs."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from windtunnel.client._errors import InvalidRequest
from windtunnel.client._job import Job
from windtunnel.client._transport import Transport, path
from windtunnel.types import Dataset, JobPage, JobSpec, JobState
from windtunnel.types import Job as WireJob

PAGE = 50
"""Jobs fetched at once by ``list``."""


class Jobs:
    """The jobs of a server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, spec: JobSpec | Mapping[str, Any] | None = None, /, *, idempotency_key: str | None = None, **fields: Any
    ) -> Job:
        """Submit a job: ``create(task="digits", target={"width": 1024})`` or ``create(spec)``.

        The spec is checked by the server, so that an error reads the same from every language.

        Args:
            spec: a whole spec; or give its fields by name.
            idempotency_key: two calls with one key and one spec make one job, also from two processes. By default
                each call has its own, shared by its retries.
            **fields: the fields of a JobSpec. Only ``task`` has no default.

        Raises:
            ValidationFailed: a field is wrong; ``errors`` tells which, and what is allowed.
            InvalidRequest: both ``spec`` and fields are given, or something that is not JSON.
        """
        body = request_body(spec, fields)
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return self._handle(self._transport.post(path("jobs"), body, headers))

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: no such job.
        """
        return self._handle(self._transport.get(path("jobs", job_id)))

    def list(self, *, state: JobState | None = None, task: str | None = None) -> Iterator[Job]:
        """Jobs, newest first; pages are fetched as they are needed."""
        wanted: dict[str, str | int] = {"limit": PAGE}
        wanted |= {name: value for name, value in (("state", state), ("task", task)) if value is not None}
        while True:
            page = self._transport.parse(JobPage, self._transport.get(path("jobs"), wanted))
            for item in page.items:
                yield Job(self._transport, item)
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    def cancel(self, job_id: str) -> Job:
        """Ask for the job's end. A queued job is cancelled at once, a running one at its next inner step.

        Raises:
            NotFound: no such job.
        """
        return self._ask(job_id, "cancel")

    def pause(self, job_id: str) -> Job:
        """Ask for the job to wait until it is resumed. A running one lets go of its worker soon, with a checkpoint.

        Raises:
            NotFound: no such job.
        """
        return self._ask(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on from its checkpoint; any other stays as it is.

        Raises:
            NotFound: no such job.
        """
        return self._ask(job_id, "resume")

    def _ask(self, job_id: str, what: Literal["cancel", "pause", "resume"]) -> Job:
        return self._handle(self._transport.post(path("jobs", job_id, what), {}))

    def _handle(self, response: Any) -> Job:
        return Job(self._transport, self._transport.parse(WireJob, response))


def request_body(spec: JobSpec | Mapping[str, Any] | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A spec as JSON, given whole or by its fields.

    Raises:
        InvalidRequest: it is given both ways.
    """
    if spec is not None and fields:
        raise InvalidRequest(f"give a spec or fields by name, not both; got a spec and {', '.join(sorted(fields))}")
    return _as_json(fields if spec is None else spec)


def _as_json(spec: JobSpec | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(spec, JobSpec):
        # What was left out stays out, so that the server's defaults hold; but the name of the schedule
        # is how the server knows which kind it is.
        body = spec.model_dump(mode="json", exclude_unset=True)
        if "schedule" in body:
            body["schedule"]["name"] = spec.schedule.name
        return body
    return {name: _plain(value) for name, value in spec.items()}


def _plain(value: Any) -> Any:
    """Models inside of a spec (``target=Target(width=1024)``) as JSON."""
    match value:
        case Dataset():  # a job names it by its id
            return value.id
        case Mapping():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _ if hasattr(value, "model_dump"):
            name = {"name": value.name} if hasattr(value, "name") else {}
            return value.model_dump(mode="json", exclude_unset=True) | name
        case _:
            return value
