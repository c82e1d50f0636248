"""An MCP server over the client: agents tune, watch, compare and plan by it (``windtunnel mcp``). Needs the extra ``mcp``.

It offers nothing that cannot be taken back but ``cancel_job``, which says so: deletion, keys and webhooks stay with people.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from windtunnel import __version__
from windtunnel.client import AsyncClient, WindtunnelError
from windtunnel.types import TERMINAL_STATES, JobSpec, JobState
from windtunnel.types.exports import EXPORTS, WHOLE, ExportFormat

INSTRUCTIONS = """Tunes the hyperparameters of small models and plans the config of a large one.
Order of work: list_tasks, then estimate_job (free), submit_job, wait_for_job until it has ended, job_result, make_plan,
export_plan. A spec is JSON; {"task": "digits"} is a whole one, and the resource windtunnel://spec describes every field.
A wrong field is refused with what is allowed. Verdicts say whether a gain is beyond noise: repeat them as they are."""
LONGEST_WAIT = 300.0
"""Seconds that one call of ``wait_for_job`` waits, at most."""
MOST_LISTED = 100

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
ENDS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

T = TypeVar("T")
JobId = Annotated[str, Field(description="Id of a job, or its last 4 characters or more.")]
Spec = Annotated[dict[str, Any], Field(description='Fields of a job spec, such as {"task": "digits"}.')]


def mcp_server(client: AsyncClient) -> MCPServer:
    """The server, whose every tool is a call of the client."""
    server = MCPServer(
        "windtunnel", title="Windtunnel", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING"
    )
    tools = Tools(client)
    for annotations, group in ((READS, tools.reading), (ADDS, tools.adding), (ENDS, tools.ending)):
        for call in group:
            server.add_tool(_told(call), annotations=annotations, structured_output=False)

    @server.resource("windtunnel://spec", mime_type="application/schema+json")
    def spec() -> dict[str, Any]:
        """JSON schema of a job spec: every field, its meaning, its default and what is allowed."""
        return JobSpec.model_json_schema()

    return server


class Tools:
    """The tools; each docstring is what an agent reads."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.reading = (
            self.list_tasks, self.list_datasets, self.list_estimators, self.list_hyperparameters, self.estimate_job,
            self.list_jobs, self.get_job, self.wait_for_job, self.job_result, self.compare_jobs, self.list_plans,
            self.export_plan,
        )  # fmt: skip
        """Tools that change nothing."""
        self.adding = (self.submit_job, self.fork_job, self.pause_job, self.resume_job, self.label_job, self.make_plan)
        """Tools that make or change something that can be taken back."""
        self.ending = (self.cancel_job,)
        """Tools after which there is no way back."""

    async def list_tasks(self) -> list[dict[str, Any]]:
        """List the tasks that a job may name, with their kind, sizes and model families."""
        return [task.model_dump(mode="json", exclude={"module"}) for task in await self._client.tasks()]

    async def list_datasets(self) -> list[dict[str, Any]]:
        """List the user's own data sets; a job names one as its task, by id or by name."""
        return [each.model_dump(mode="json") for each in await self._client.datasets.list()]

    async def list_estimators(self) -> list[dict[str, Any]]:
        """List the hypergradient estimators that method.estimator may name: cost, bias, and what each can tune."""
        return [each.model_dump(mode="json") for each in await self._client.estimators()]

    async def list_hyperparameters(self) -> list[dict[str, Any]]:
        """List the hyperparameters that a job may search, with ranges and scopes."""
        return [each.model_dump(mode="json") for each in await self._client.hyperparameters()]

    async def estimate_job(self, spec: Spec) -> dict[str, Any]:
        """Estimate runs, seconds and memory of a job before anything is spent; also checks the spec."""
        return (await self._client.estimate(spec)).model_dump(mode="json")

    async def list_jobs(
        self,
        state: JobState | None = None,
        task: str | None = None,
        search: str | None = None,
        limit: Annotated[int, Field(ge=1, le=MOST_LISTED)] = 20,
    ) -> list[dict[str, Any]]:
        """List jobs, newest first: id, name, state, task, best loss, verdict, cost."""
        found: list[dict[str, Any]] = []
        async for job in self._client.jobs.list(state=state, task=task, search=search):
            found.append(_brief(job))
            if len(found) == limit:
                break
        return found

    async def get_job(self, job_id: JobId) -> dict[str, Any]:
        """Show one job: spec, progress, current and best point, failure with what to try, plans."""
        job = await self._client.jobs.find(job_id)
        return {**job.wire.model_dump(mode="json"), "verdict": job.verdict}

    async def wait_for_job(
        self, job_id: JobId, seconds: Annotated[float, Field(ge=0, le=LONGEST_WAIT)] = 60.0
    ) -> dict[str, Any]:
        """Wait until the job has ended, or the seconds are over; then show where it stands. Call again if it goes on."""
        job = await self._client.jobs.find(job_id)
        pacing = self._client.pacing
        end = pacing.monotonic() + seconds
        while job.state not in TERMINAL_STATES and (left := end - pacing.monotonic()) > 0:
            await pacing.sleep_async(min(pacing.poll, left))
            await job.refresh()
        return _brief(job)

    async def job_result(self, job_id: JobId) -> dict[str, Any]:
        """Show the result of a job that has succeeded: verdict, losses with errors, hyperparameters found, cost, checks."""
        job = await self._client.jobs.find(job_id)
        result = await job.result()
        kept = result.model_dump(
            mode="json", include={"start", "best", "estimator", "cost", "chaos", "early_stopping", "dropped_members"}
        )
        check = result.coordinate_check
        told = None if check is None else {"verdict": check.verdict, "reasons": check.reasons}
        return {"job_id": job.id, "verdict": result.gained.headline, "coordinate_check": told, **kept}

    async def compare_jobs(self, job_ids: Annotated[list[JobId], Field(min_length=1)]) -> dict[str, Any]:
        """Compare up to 8 jobs: where their specs differ, their results, and how important each hyperparameter was."""
        jobs = [await self._client.jobs.find(each) for each in job_ids]
        found = await self._client.jobs.compare(*jobs)
        return {
            "jobs": [{**_brief(job), "importances": each.importances} for job, each in zip(jobs, found.items, strict=True)],
            "spec": [each.model_dump(mode="json") for each in found.spec],
            "results": [each.model_dump(mode="json") for each in found.results],
        }

    async def submit_job(self, spec: Spec, name: str | None = None) -> dict[str, Any]:
        """Submit a job; it spends compute. Estimate it first."""
        return _brief(await self._client.jobs.create({**spec, **({} if name is None else {"name": name})}))

    async def fork_job(self, job_id: JobId, overrides: Spec, from_best: bool = False) -> dict[str, Any]:
        """Submit another job with the spec of this one but for the overrides; from_best begins at the values it found."""
        job = await self._client.jobs.find(job_id)
        return _brief(await job.fork(overrides, from_best=from_best))

    async def pause_job(self, job_id: JobId) -> dict[str, Any]:
        """Pause a job; a running one writes a checkpoint and frees its worker."""
        return _brief(await (await self._client.jobs.find(job_id)).pause())

    async def resume_job(self, job_id: JobId) -> dict[str, Any]:
        """Resume a paused job from its checkpoint."""
        return _brief(await (await self._client.jobs.find(job_id)).resume())

    async def label_job(
        self, job_id: JobId, name: str | None = None, tags: list[str] | None = None, notes: str | None = None
    ) -> dict[str, Any]:
        """Change name, tags or notes of a job; what is not given stays."""
        return _brief(await (await self._client.jobs.find(job_id)).label(name=name, tags=tags, notes=notes))

    async def cancel_job(self, job_id: JobId) -> dict[str, Any]:
        """End a job for good: no result, no plan. To go on later, pause it instead."""
        return _brief(await (await self._client.jobs.find(job_id)).cancel())

    async def make_plan(
        self,
        job_id: JobId,
        width: int,
        depth: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        force: bool = False,
    ) -> dict[str, Any]:
        """Make the config of a large model from a finished job. Refused where checks failed; force only if told to."""
        job = await self._client.jobs.find(job_id)
        plan = await job.plan(width=width, depth=depth, steps=steps, batch_size=batch_size, force=force)
        return plan.model_dump(mode="json", include=_PLAN_FIELDS)

    async def list_plans(self, job_id: JobId) -> list[dict[str, Any]]:
        """List the plans made from a job, oldest first."""
        job = await self._client.jobs.find(job_id)
        return [plan.model_dump(mode="json", include=_PLAN_FIELDS) async for plan in self._client.plans.of_job(job.id)]

    async def export_plan(self, plan_id: str, format: ExportFormat = WHOLE) -> str:  # noqa: A002 - the API's own name
        """Export a plan as text."""
        return await (await self._client.plans.get(plan_id)).to(format)


Tools.export_plan.__doc__ = "Export a plan as text. Formats: " + "; ".join(
    f"{name}: {e.says}" for name, e in EXPORTS.items()
)
_PLAN_FIELDS = {
    "id", "job_id", "width", "depth", "steps", "batch_size", "parameters", "roles", "not_covered", "forced",
    "in_your_loop", "tuning_share",
}  # fmt: skip


def _brief(job: Any) -> dict[str, Any]:
    """The facts of a job that an agent decides by."""
    wire = job.wire
    return {
        "id": wire.id,
        "name": wire.name,
        "state": wire.state,
        "task": wire.task_title or wire.spec.task,
        "phase": wire.progress.phase,
        "done": round(wire.progress.fraction, 3),
        "best_loss": wire.best_loss,
        "verdict": wire.verdict,
        "cost_in_runs": round(wire.progress.run_equivalents, 2),
        "failure": None if wire.failure is None else wire.failure.model_dump(mode="json"),
        "plans": wire.plans,
    }


def _told(call: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """The call, whose errors reach the agent as a message that says what to do."""

    @functools.wraps(call)
    async def telling(*args: Any, **fields: Any) -> T:
        try:
            return await call(*args, **fields)
        except WindtunnelError as error:
            raise ToolError(str(error)) from error

    telling.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    return telling
