"""A transfer plan: the config of the large model, and its exports."""

from collections.abc import AsyncIterator, Mapping
from typing import Self

import httpx
from pydantic import PrivateAttr

from windtunnel.client._answers import Page, parse
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._errors import InvalidRequest
from windtunnel.client._requests import path
from windtunnel.client._views import PlanView
from windtunnel.types.exports import ExportFormat

PAGE = 50
"""Number of plans that ``list`` fetches by one request."""


class AsyncPlan(PlanView):
    """A transfer plan that can export itself; it has all fields of ``TransferPlan``."""

    _transport: AsyncTransport | None = PrivateAttr(None)

    @classmethod
    def received(cls, transport: AsyncTransport, response: httpx.Response) -> Self:
        """The plan that an answer of the server holds."""
        plan = parse(cls, response)
        plan._transport = transport
        return plan

    async def to(self, format: ExportFormat) -> str:  # noqa: A002 - the API's own name
        """The plan as text: ``json`` and ``yaml`` for programs, ``torch`` for Python code that builds and trains the model.

        ``huggingface``, ``optax`` and ``nanogpt`` are Python files for those libraries.

        Raises:
            ValidationFailed: no such format, or the format cannot express this plan.
            InvalidRequest: the plan came from a file, not from a client.
        """
        if self._transport is None:
            raise InvalidRequest(f"{self.id} did not come from a client; use client.plans.get({self.id!r}).to({format!r})")
        answer = await self._transport.get(path("plans", self.id), {"format": format})
        return answer.text

    async def delete(self) -> None:
        """Delete this plan from the server. Its job stays, from which the plan can be made again.

        Raises:
            NotFound: the plan was deleted before.
            InvalidRequest: the plan came from a file, not from a client.
        """
        if self._transport is None:
            raise InvalidRequest(f"{self.id} did not come from a client; use client.plans.delete({self.id!r})")
        await self._transport.delete(path("plans", self.id))


class AsyncPlans:
    """Transfer plans of a server."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def get(self, plan_id: str) -> AsyncPlan:
        """The plan with this id.

        Raises:
            NotFound: no such plan.
        """
        return AsyncPlan.received(self._transport, await self._transport.get(path("plans", plan_id)))

    async def list(self, job_id: str) -> AsyncIterator[AsyncPlan]:
        """Yield the plans made from a job, oldest first; pages are fetched as needed.

        Raises:
            NotFound: no such job.
        """
        wanted: dict[str, str | int] = {"limit": PAGE}
        while True:
            page = await self._transport.read(Page[AsyncPlan], path("jobs", job_id, "plans"), wanted)
            for plan in page.items:
                plan._transport = self._transport
                yield plan
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    async def delete(self, plan_id: str) -> None:
        """Delete a plan. Its job stays, from which the plan can be made again.

        Raises:
            NotFound: no such plan.
        """
        await self._transport.delete(path("plans", plan_id))


async def create_plan(
    transport: AsyncTransport, job_id: str, size: Mapping[str, int | str | None], *, force: bool
) -> AsyncPlan:
    """Make a plan of a job for a target of this size, and return it."""
    body = {name: value for name, value in {**size, "force": force or None}.items() if value is not None}
    return AsyncPlan.received(transport, await transport.post_once(path("jobs", job_id, "plans"), body))
