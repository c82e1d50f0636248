"""A transfer plan: the config of the large model, and its exports."""
# Written by tools/sync_client.py from _async/plan.py: change that one.

from collections.abc import Iterator, Mapping
from typing import Any, Self

import httpx
from pydantic import PrivateAttr

from windtunnel.client._answers import Page, parse
from windtunnel.client._errors import InvalidRequest
from windtunnel.client._requests import path
from windtunnel.client._transport import Transport
from windtunnel.client._views import PlanView
from windtunnel.types.exports import ExportFormat
from windtunnel.types.plans import PlanPage

CHECKING = 600.0
"""Seconds to wait for a plan of given values, whose coordinate check takes a while."""

PAGE = 50
"""Number of plans that ``of_job`` fetches by one request."""


class Plan(PlanView):
    """A transfer plan that can export itself; it has all fields of ``TransferPlan``."""

    _transport: Transport | None = PrivateAttr(None)

    @classmethod
    def received(cls, transport: Transport, response: httpx.Response) -> Self:
        """The plan that an answer of the server holds."""
        plan = parse(cls, response)
        plan._transport = transport
        return plan

    def to(self, format: ExportFormat) -> str:  # noqa: A002 - the API's own name
        """The plan as text: ``json`` and ``yaml`` for programs, ``torch`` for Python code that builds and trains the model.

        The other formats are files for the library of their name.

        Raises:
            ValidationFailed: no such format, or the format cannot express this plan.
            InvalidRequest: the plan came from a file, not from a client.
        """
        if self._transport is None:
            raise InvalidRequest(f"{self.id} did not come from a client; use client.plans.get({self.id!r}).to({format!r})")
        answer = self._transport.get(path("plans", self.id), {"format": format})
        return answer.text

    def delete(self) -> None:
        """Delete this plan from the server. Its job stays, from which the plan can be made again.

        Raises:
            NotFound: the plan was deleted before.
            InvalidRequest: the plan came from a file, not from a client.
        """
        if self._transport is None:
            raise InvalidRequest(f"{self.id} did not come from a client; use client.plans.delete({self.id!r})")
        self._transport.delete(path("plans", self.id))


class Plans:
    """Transfer plans of a server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, plan_id: str) -> Plan:
        """The plan with this id.

        Raises:
            NotFound: no such plan.
        """
        return Plan.received(self._transport, self._transport.get(path("plans", plan_id)))

    def list(self, *, limit: int = 50, cursor: str | None = None) -> PlanPage:
        """Plans of jobs and of given values in short, newest first; ``next_cursor`` is the cursor of the next page.

        Raises:
            ValidationFailed: the limit or the cursor is none.
        """
        query: dict[str, str | int] = {"limit": limit} if cursor is None else {"limit": limit, "cursor": cursor}
        return parse(PlanPage, self._transport.get("/v1/plans", query))

    def carry(
        self,
        values: Mapping[str, float],
        *,
        task: str,
        width: int,
        depth: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        examples: int | None = None,
        force: bool = False,
        **fields: Any,
    ) -> Plan:
        """Make the plan of a large model from values of one's own; nothing is tuned, and the server keeps the plan.

        ::

            plan = client.plans.carry({"learning_rate": 3e-3, "beta2": 0.95}, task="digits", width=1024)

        Args:
            values: label (``learning_rate``, ``learning_rate.hidden``) -> value for the small model.
            task: a task of the server, or the id of a data set: it sets inputs and outputs of the model.
            width: width of the large model.
            depth: its depth; by default that of the small one.
            steps: optimizer updates of its run; those of the small one are ``inner={"steps": ...}``.
            batch_size: examples of an update; likewise.
            examples: examples of its training set.
            force: make the plan although the coordinate check speaks against it.
            **fields: other fields of the request: ``model={"width": 64}``, ``optimizer=``, ``schedule=``, ``inner=``.

        Raises:
            ValidationFailed: a value or another field is wrong.
            TransferRefused: the coordinate check or a rule speaks against the transfer.
        """
        size = {"width": width, "depth": depth, "steps": steps, "batch_size": batch_size, "examples": examples}
        target = {name: value for name, value in size.items() if value is not None}
        body = {**fields, "values": dict(values), "task": task, "target": target, "force": force}
        return Plan.received(self._transport, self._transport.post_once("/v1/plans", body, CHECKING))

    def of_job(self, job_id: str) -> Iterator[Plan]:
        """Yield the plans made from a job, oldest first; pages are fetched as needed.

        Raises:
            NotFound: no such job.
        """
        wanted: dict[str, str | int] = {"limit": PAGE}
        while True:
            page = self._transport.read(Page[Plan], path("jobs", job_id, "plans"), wanted)
            for plan in page.items:
                plan._transport = self._transport
                yield plan
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    def delete(self, plan_id: str) -> None:
        """Delete a plan. Its job stays, from which the plan can be made again.

        Raises:
            NotFound: no such plan.
        """
        self._transport.delete(path("plans", plan_id))


def create_plan(transport: Transport, job_id: str, size: Mapping[str, int | str | None], *, force: bool) -> Plan:
    """Make a plan of a job for a target of this size, and return it."""
    body = {name: value for name, value in {**size, "force": force or None}.items() if value is not None}
    return Plan.received(transport, transport.post_once(path("jobs", job_id, "plans"), body))
