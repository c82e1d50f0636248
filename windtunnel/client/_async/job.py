"""A handle on one job of the server."""

import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, Self

from windtunnel.client._answers import is_away, parse
from windtunnel.client._async.events import follow_events, outer_step, read_events
from windtunnel.client._async.naming import post_spec
from windtunnel.client._async.plan import AsyncPlan, AsyncPlans, create_plan
from windtunnel.client._async.result import AsyncResult
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._errors import ApiError, ConnectionFailed, JobCancelled, JobFailed, WaitTimeout, WindtunnelError
from windtunnel.client._files import place_of, written_aside
from windtunnel.client._pacing import Patience
from windtunnel.client._progress import JobProgress
from windtunnel.client._requests import path
from windtunnel.client._specs import request_body
from windtunnel.client._views import JobView
from windtunnel.types import Job as WireJob
from windtunnel.types import JobEvent, OuterStep


class AsyncJob(JobView):
    """One job, in the state that the last request found; ``refresh`` reads it again.

    Attributes:
        wire: everything the API says about the job.
    """

    def __init__(self, transport: AsyncTransport, wire: WireJob) -> None:
        self._transport = transport
        self.wire = wire

    async def refresh(self) -> Self:
        """Read the job again, and return it."""
        self.wire = await self._transport.read(WireJob, path("jobs", self.id))
        return self

    def events(self, after: int = 0) -> AsyncGenerator[JobEvent]:
        """Yield every event of the log past number ``after``, live, each once, until the job has ended.

        After a broken connection or a restart of the server the stream resumes where it stood. A caller that stops early
        releases the connection with the generator's ``aclose``.

        Raises:
            ConnectionFailed: no server answers, or a lost one stayed away longer than ``Pacing.patience``.
        """
        return follow_events(self._transport, self.id, after)

    async def follow(self) -> AsyncGenerator[OuterStep]:
        """Yield every outer step from the first, live, until the job has ended in any state.

        Raises:
            ConnectionFailed: as in ``events``.
        """
        async with aclosing(self.events()) as events:
            async for event in events:
                step = outer_step(event)
                if step is not None:
                    yield step

    async def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> AsyncResult:
        """Wait for the end of the job, with a progress bar, and return its result.

        Args:
            timeout: longest wait in seconds; None: no limit.
            progress: whether to show it on standard error: a bar on a terminal or in a notebook, elsewhere a line for each
                phase and outer step. By default only the bar.

        Raises:
            JobFailed, JobCancelled: the job ended without a result.
            WaitTimeout: the job did not end in time; it runs on.
            ConnectionFailed: as in ``events``.
        """
        with JobProgress(progress) as bar:
            async for wire in self.watch(timeout):
                bar.show(wire)
        return await self.outcome()

    async def watch(self, timeout: float | None = None) -> AsyncIterator[WireJob]:
        """Yield the job every ``Pacing.poll`` seconds, and a last time once it has ended.

        Raises:
            WaitTimeout, ConnectionFailed: as in ``wait``.
        """
        pacing = self._transport.pacing
        patience = Patience(pacing)
        begin = pacing.monotonic()
        while True:
            lost: WindtunnelError | None = None
            try:
                await self.refresh()
            except (ConnectionFailed, ApiError) as error:
                if not is_away(error):
                    raise
                lost = error
            else:
                patience.progress()
                yield self.wire
                if self.finished:
                    return
            left = float("inf") if timeout is None else begin + timeout - pacing.monotonic()
            if timeout is not None and left <= 0:
                raise WaitTimeout(self.id, timeout, self.state)
            await pacing.sleep_async(min(pacing.poll, left) if lost is None else patience.next_delay(lost, at_most=left))

    async def outcome(self) -> AsyncResult:
        """The result of a job that has ended.

        Raises:
            JobFailed, JobCancelled: the job ended without a result.
            NotFinished: the job has not ended.
        """
        if self.state == "cancelled":
            raise JobCancelled(self.id)
        if self.failure is not None:
            raise JobFailed(self.id, self.failure)
        return await self.result()

    async def result(self) -> AsyncResult:
        """The result of the job: tuned hyperparameters, losses, and measurements.

        Raises:
            NotFinished: the job has not ended, or did not succeed.
        """
        answer = await self._transport.get(path("jobs", self.id, "result"))
        return AsyncResult.received(self._transport, self.id, answer)

    async def bundle(self, target: str | os.PathLike[str]) -> Path:
        """Write everything about the job to a zip: spec, log, metrics, attempts, result, plans, each with its SHA-256.

        The file is streamed, and is complete or absent.

        Args:
            target: the file to write; or a folder, which then gets ``<id>.zip``. An existing file is replaced.

        Returns:
            The file's path.

        Raises:
            InvalidRequest: the file cannot be written there.
        """
        place = place_of(target, f"{self.id}.zip")
        await self._transport.download(path("jobs", self.id, "bundle"), "application/zip", place)
        return place

    async def report(self, target: str | os.PathLike[str]) -> Path:
        """Write a report of the job as one HTML file, which opens anywhere, also offline: verdict, figures, plans, spec.

        Args:
            target: the file to write; or a folder, which then gets ``<id>.html``. An existing file is replaced.

        Returns:
            The file's path.

        Raises:
            InvalidRequest: the file cannot be written there.
        """
        from windtunnel.report import report  # plotly takes most of a second to import

        place = place_of(target, f"{self.id}.html")
        await self.refresh()
        result = await self.result() if self.state == "succeeded" else None
        steps, plans = [], []
        async for event in read_events(self._transport, self.id):
            step = outer_step(event)
            steps += [] if step is None else [step]
        async for plan in AsyncPlans(self._transport).of_job(self.id):
            plans.append(plan)
        with written_aside(place) as file:
            file.write(report(self.wire, steps, result, plans).encode())
        return place

    async def fork(
        self,
        overrides: Mapping[str, Any] | None = None,
        /,
        *,
        from_best: bool = False,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> "AsyncJob":
        """Submit another job with this job's spec, except for the fields given: ``job.fork(model={"width": 128})``.

        Args:
            overrides: fields of a JobSpec that shall differ; or give them by name. Mappings are merged with the parent's,
                lists replace the parent's, None restores the default.
            from_best: begin at this job's best hyperparameters instead of its start.
            idempotency_key: two calls with one key and one spec make one job; by default each call has its own.
            **fields: the fields of ``overrides``, by name.

        Returns:
            The new job. It trains from the start: no training state is copied.

        Raises:
            ValidationFailed: an override is wrong; ``errors`` names it.
            NotFinished: ``from_best`` of a job without a result.
            ForkRefused: ``from_best``, and the new job cannot begin at one of the best hyperparameters.
            InvalidRequest: both ``overrides`` and fields are given, or something that is not JSON.
        """
        return await fork_job(self._transport, self.id, overrides, fields, from_best, idempotency_key)

    async def label(self, *, name: str | None = None, tags: Sequence[str] | None = None, notes: str | None = None) -> Self:
        """Change the name, the tags or the notes of the job, and return it; what is not given stays.

        Args:
            name: another name. The spec keeps the one that it came with.
            tags: all of its tags, at most 20: without spaces or commas, kept in lower case; [] takes them away.
            notes: plain text; "" takes them away.

        Raises:
            ValidationFailed: a tag has a space, or something is too long.
        """
        change = {"name": name, "tags": None if tags is None else list(tags), "notes": notes}
        self.wire = parse(WireJob, await self._transport.patch(path("jobs", self.id), change))
        return self

    async def cancel(self) -> Self:
        """Ask the server to end the job, and return the job. Does nothing if the job has ended."""
        return await self._ask("cancel")

    async def pause(self) -> Self:
        """Ask the server to pause the job until it is resumed, and return the job. Does nothing if the job has ended."""
        return await self._ask("pause")

    async def resume(self) -> Self:
        """Resume the paused job from its checkpoint, and return the job. Does nothing in any other state."""
        return await self._ask("resume")

    async def delete(self) -> None:
        """Delete the job, which has ended, with its log, metrics, result, checkpoints and plans. They cannot be restored.

        Raises:
            JobNotEnded: the job has not ended; cancel it first.
            NotFound: the job was deleted before.
        """
        await self._transport.delete(path("jobs", self.id))

    async def _ask(self, what: Literal["cancel", "pause", "resume"]) -> Self:
        self.wire = parse(WireJob, await self._transport.post(path("jobs", self.id, what), {}))
        return self

    async def plan(
        self,
        *,
        width: int,
        depth: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        examples: int | None = None,
        law_fit: str | None = None,
        force: bool = False,
    ) -> AsyncPlan:
        """The config of a large model, made from this job's result.

        Args:
            width: units of each hidden layer of the large model.
            depth: number of its hidden layers; by default the proxy's.
            steps: length of its training run in optimizer updates; by default the proxy's.
            batch_size: examples of an update; by default the proxy's. The learning rate is adjusted to it up to the
                critical batch size; beyond that the plan is refused.
            examples: number of examples in its training set; by default the proxy's. The weight decay is adjusted to it.
            law_fit: id of a scaling-law fit; the plan then has the loss that the fit predicts for the large run.
            force: make the plan although the job's measurements speak against it; the plan records that.

        Raises:
            TransferRefused: the rules cannot reach this target, the coordinate check or the ladder of widths failed, or the
                batch size is past the critical one.
            ValidationFailed: the target is not a larger model of the same kind.
            NotFinished: the job has no result.
            QuotaExceeded: the owner has as many plans as allowed.
        """
        size = {
            "width": width,
            "depth": depth,
            "steps": steps,
            "batch_size": batch_size,
            "examples": examples,
            "law_fit": law_fit,
        }
        return await create_plan(self._transport, self.id, size, force=force)


async def fork_job(
    transport: AsyncTransport,
    job_id: str,
    overrides: Mapping[str, Any] | None,
    fields: Mapping[str, Any],
    from_best: bool,
    idempotency_key: str | None,
) -> AsyncJob:
    """Submit a copy of a job with some fields of its spec overridden, and return the new job."""
    wanted = {"overrides": request_body(overrides, fields), "from_best": from_best}
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    answer = await post_spec(transport, path("jobs", job_id, "fork"), wanted, headers, "overrides")
    return AsyncJob(transport, parse(WireJob, answer))
