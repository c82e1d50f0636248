"""A connection to one Windtunnel server: what ``Client`` and ``AsyncClient`` are."""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from windtunnel.client._answers import Items, parse
from windtunnel.client._async.datasets import AsyncDatasets
from windtunnel.client._async.jobs import AsyncJobs
from windtunnel.client._async.keys import AsyncKeys
from windtunnel.client._async.laws import AsyncLaws
from windtunnel.client._async.naming import post_spec
from windtunnel.client._async.plan import AsyncPlans
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._async.webhooks import AsyncWebhooks
from windtunnel.client._async.workers import AsyncWorkers
from windtunnel.client._local import LocalServer
from windtunnel.client._pacing import Pacing
from windtunnel.client._requests import address_of, key_of, path
from windtunnel.client._specs import request_body
from windtunnel.types import JobSpec, ScheduleInfo, TaskInfo
from windtunnel.types.estimates import Estimate
from windtunnel.types.listings import EstimatorListing, HyperparameterListing


class AsyncClient:
    """A connection to a Windtunnel server.

    ```python
    async with AsyncClient() as client:
        job = await client.jobs.create(task="digits", target={"width": 1024})
        result = await job.wait()
        plan = await result.plan(width=4096)
        print(await plan.to("torch"))
    ```

    Every call raises ``ConnectionFailed`` if no server answers, and a subclass of ``ApiError`` if the server refuses.

    Args:
        base_url: address of the server; by default the variable ``WINDTUNNEL_URL``, else ``http://127.0.0.1:8000``.
        api_key: key for a server that asks for one; by default the variable ``WINDTUNNEL_API_KEY``; "" sends no key.
        timeout: seconds to wait for a connection and for each part of an answer.
        pacing: how often and how long to try again.

    Raises:
        InvalidRequest: the address is not an http or https URL, or the key has characters that no key has.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        pacing: Pacing | None = None,
    ) -> None:
        self._transport = AsyncTransport(address_of(base_url), timeout, pacing or Pacing(), key_of(api_key))
        self.jobs = AsyncJobs(self._transport)
        self.plans = AsyncPlans(self._transport)
        self.datasets = AsyncDatasets(self._transport)
        self.workers = AsyncWorkers(self._transport)
        self.laws = AsyncLaws(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.webhooks = AsyncWebhooks(self._transport)
        self._server: LocalServer | None = None

    @classmethod
    async def local(
        cls,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        workers: int = 1,
        threads: int | None = None,
        api_key: str = "",
        timeout: float = 30.0,
        pacing: Pacing | None = None,
    ) -> Self:
        """A client with a server and workers of its own, inside this process, and the same interface.

        The server stops with ``close`` or with the program. A job that runs at that moment keeps its checkpoint and goes on
        when the folder is opened again. The status page is at ``base_url``, for users of this machine.

        Args:
            data_dir: folder of the database and checkpoints; by default a temporary one, deleted when the client is closed.
            workers: jobs that run at the same time.
            threads: compute threads of each job; by default the jobs share all cores but one.
            api_key: key for a folder whose server asks for one.
            timeout: seconds to wait for a connection and for each part of an answer.
            pacing: how often and how long to try again.

        Raises:
            NotInstalled: the packages of server and worker are not installed.
            InvalidRequest: an argument or a ``WINDTUNNEL_`` variable cannot be used.
        """
        server = await LocalServer.start_async(data_dir, workers, threads)
        try:
            client = cls(server.url, api_key=api_key, timeout=timeout, pacing=pacing or Pacing(poll=0.1))
        except BaseException:
            await server.close_async()
            raise
        client._server = server
        return client

    @property
    def base_url(self) -> str:
        """Address of the server."""
        return self._transport.base_url

    @property
    def pacing(self) -> Pacing:
        """Pacing of the client: how often and how long it tries again, and its clocks."""
        return self._transport.pacing

    async def tasks(self) -> list[TaskInfo]:
        """Tasks that a job may name."""
        page = await self._transport.read(Items[TaskInfo], path("tasks"))
        return page.items

    async def schedules(self) -> list[ScheduleInfo]:
        """Learning-rate schedules that a job may name, with their formulas, searchable shape parameters and settings."""
        page = await self._transport.read(Items[ScheduleInfo], path("schedules"))
        return page.items

    async def estimators(self) -> list[EstimatorListing]:
        """Hypergradient estimators that a job may name: cost, bias, settings, and which hyperparameters each can tune."""
        page = await self._transport.read(Items[EstimatorListing], path("estimators"))
        return page.items

    async def hyperparameters(self) -> list[HyperparameterListing]:
        """Hyperparameters that a job may search: ranges, scopes, the coordinate of the search, and their estimators."""
        page = await self._transport.read(Items[HyperparameterListing], path("hyperparameters"))
        return page.items

    async def estimate(self, spec: JobSpec | Mapping[str, Any] | None = None, /, **fields: Any) -> Estimate:
        """Seconds, memory and run-equivalents of a job before it runs: ``estimate(task="digits")`` or ``estimate(spec)``.

        Args:
            spec: a whole spec; or give its fields by name.
            **fields: the fields of a JobSpec.

        Raises:
            ValidationFailed: a field is wrong; ``errors`` names it and what is allowed.
            InvalidRequest: both ``spec`` and fields are given, or something that is not JSON.
        """
        return parse(Estimate, await post_spec(self._transport, path("estimates"), request_body(spec, fields)))

    async def ready(self) -> None:
        """Check that the server can take and run jobs.

        Raises:
            ServerError: it cannot; the message says what is wrong.
        """
        await self._transport.get("/readyz")

    async def close(self) -> None:
        """Close the connections, and stop the client's own server. Handles of this client cannot be used afterwards."""
        await self._transport.close()
        if self._server is not None:
            await self._server.close_async()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient {self.base_url}>"
