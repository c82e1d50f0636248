"""A connection to one Windtunnel server: what ``Client`` and ``Client`` are."""
# Written by tools/sync_client.py from _async/client.py: change that one.

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from windtunnel.client._answers import Items, parse
from windtunnel.client._datasets import Datasets
from windtunnel.client._jobs import Jobs
from windtunnel.client._keys import Keys
from windtunnel.client._laws import Laws
from windtunnel.client._local import LocalServer
from windtunnel.client._naming import post_spec
from windtunnel.client._pacing import Pacing
from windtunnel.client._plan import Plans
from windtunnel.client._requests import address_of, key_of, path
from windtunnel.client._specs import request_body
from windtunnel.client._transport import Transport
from windtunnel.client._webhooks import Webhooks
from windtunnel.client._workers import Workers
from windtunnel.types import JobSpec, ScheduleInfo, TaskInfo
from windtunnel.types.estimates import Estimate
from windtunnel.types.listings import EstimatorListing, HyperparameterListing


class Client:
    """A connection to a Windtunnel server.

    ```python
    with Client() as client:
        job = client.jobs.create(task="digits", target={"width": 1024})
        result = job.wait()
        plan = result.plan(width=4096)
        print(plan.to("torch"))
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
        self._transport = Transport(address_of(base_url), timeout, pacing or Pacing(), key_of(api_key))
        self.jobs = Jobs(self._transport)
        self.plans = Plans(self._transport)
        self.datasets = Datasets(self._transport)
        self.workers = Workers(self._transport)
        self.laws = Laws(self._transport)
        self.keys = Keys(self._transport)
        self.webhooks = Webhooks(self._transport)
        self._server: LocalServer | None = None

    @classmethod
    def local(
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
        server = LocalServer.start(data_dir, workers, threads)
        try:
            client = cls(server.url, api_key=api_key, timeout=timeout, pacing=pacing or Pacing(poll=0.1))
        except BaseException:
            server.close()
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

    def tasks(self) -> list[TaskInfo]:
        """Tasks that a job may name."""
        page = self._transport.read(Items[TaskInfo], path("tasks"))
        return page.items

    def schedules(self) -> list[ScheduleInfo]:
        """Learning-rate schedules that a job may name, with their formulas, searchable shape parameters and settings."""
        page = self._transport.read(Items[ScheduleInfo], path("schedules"))
        return page.items

    def estimators(self) -> list[EstimatorListing]:
        """Hypergradient estimators that a job may name: cost, bias, settings, and which hyperparameters each can tune."""
        page = self._transport.read(Items[EstimatorListing], path("estimators"))
        return page.items

    def hyperparameters(self) -> list[HyperparameterListing]:
        """Hyperparameters that a job may search: ranges, scopes, the coordinate of the search, and their estimators."""
        page = self._transport.read(Items[HyperparameterListing], path("hyperparameters"))
        return page.items

    def estimate(self, spec: JobSpec | Mapping[str, Any] | None = None, /, **fields: Any) -> Estimate:
        """Seconds, memory and run-equivalents of a job before it runs: ``estimate(task="digits")`` or ``estimate(spec)``.

        Args:
            spec: a whole spec; or give its fields by name.
            **fields: the fields of a JobSpec.

        Raises:
            ValidationFailed: a field is wrong; ``errors`` names it and what is allowed.
            InvalidRequest: both ``spec`` and fields are given, or something that is not JSON.
        """
        return parse(Estimate, post_spec(self._transport, path("estimates"), request_body(spec, fields)))

    def ready(self) -> None:
        """Check that the server can take and run jobs.

        Raises:
            ServerError: it cannot; the message says what is wrong.
        """
        self._transport.get("/readyz")

    def close(self) -> None:
        """Close the connections, and stop the client's own server. Handles of this client cannot be used afterwards."""
        self._transport.close()
        if self._server is not None:
            self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.base_url}>"
