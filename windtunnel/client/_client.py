"""Client: the way into one Windtunnel server."""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from windtunnel.client._datasets import Datasets
from windtunnel.client._jobs import Jobs, request_body
from windtunnel.client._laws import Laws
from windtunnel.client._pacing import Pacing
from windtunnel.client._plan import Plans
from windtunnel.client._transport import Items, Transport, path
from windtunnel.client._workers import Workers
from windtunnel.types import JobSpec, ScheduleInfo, TaskInfo
from windtunnel.types.estimates import Estimate
from windtunnel.types.listings import EstimatorListing, HyperparameterListing

DEFAULT_URL = "http://127.0.0.1:8000"


class Client:
    """A connection to a Windtunnel server.

    ```python
    with Client() as client:
        job = client.jobs.create(task="digits", target={"width": 1024})
        result = job.wait()
        print(result.plan(width=4096).to("torch"))
    ```

    Every call raises ``ConnectionFailed`` where no server answers, and a subclass of ``ApiError`` where it refuses.

    Args:
        base_url: address of the server; by default the variable ``WINDTUNNEL_URL``, else ``http://127.0.0.1:8000``.
        api_key: for a server that asks for one; by default the variable ``WINDTUNNEL_API_KEY``.
        timeout: seconds to wait for a connection and for each part of an answer.
        pacing: how often and how long to try again.

    Raises:
        InvalidRequest: the address is no http or https URL, or the key cannot be one.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        pacing: Pacing | None = None,
    ) -> None:
        address = base_url or os.environ.get("WINDTUNNEL_URL") or DEFAULT_URL
        key = api_key or os.environ.get("WINDTUNNEL_API_KEY")
        self._transport = Transport(address, timeout, pacing or Pacing(), key)
        self.jobs = Jobs(self._transport)
        self.plans = Plans(self._transport)
        self.datasets = Datasets(self._transport)
        self.workers = Workers(self._transport)
        self.laws = Laws(self._transport)

    @property
    def base_url(self) -> str:
        """Address of the server."""
        return self._transport.base_url

    def tasks(self) -> list[TaskInfo]:
        """The tasks that a job may name."""
        return self._transport.parse(Items[TaskInfo], self._transport.get(path("tasks"))).items

    def schedules(self) -> list[ScheduleInfo]:
        """The schedules that a job may name, with their formulas, searchable shape parameters and settings."""
        return self._transport.parse(Items[ScheduleInfo], self._transport.get(path("schedules"))).items

    def estimators(self) -> list[EstimatorListing]:
        """The estimators that a job may name: cost, bias, settings, what each can differentiate, and why not."""
        return self._transport.parse(Items[EstimatorListing], self._transport.get(path("estimators"))).items

    def hyperparameters(self) -> list[HyperparameterListing]:
        """What a job may search: ranges, scopes, the coordinate of the search, the estimators that can."""
        return self._transport.parse(Items[HyperparameterListing], self._transport.get(path("hyperparameters"))).items

    def estimate(self, spec: JobSpec | Mapping[str, Any] | None = None, /, **fields: Any) -> Estimate:
        """What a job would take, before anything is spent: ``estimate(task="digits")`` or ``estimate(spec)``.

        Args:
            spec: a whole spec; or give its fields by name.
            **fields: the fields of a JobSpec.

        Raises:
            ValidationFailed: a field is wrong; ``errors`` tells which, and what is allowed.
            InvalidRequest: both ``spec`` and fields are given, or something that is not JSON.
        """
        body = request_body(spec, fields)
        return self._transport.parse(Estimate, self._transport.post(path("estimates"), body))

    def ready(self) -> None:
        """Return where the server can take and run jobs.

        Raises:
            ServerError: it cannot; the message says what is wrong.
        """
        self._transport.get("/readyz")

    def close(self) -> None:
        """Give back the connections; handles that came from this client cannot be used afterwards."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.base_url}>"
