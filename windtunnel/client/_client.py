"""Client: the way into one Windtunnel server."""

import os
from types import TracebackType
from typing import Self

from windtunnel.client._jobs import Jobs
from windtunnel.client._pacing import Pacing
from windtunnel.client._plan import Plans
from windtunnel.client._transport import Items, Transport, path
from windtunnel.types import ScheduleInfo, TaskInfo

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
        timeout: seconds to wait for a connection and for each part of an answer.
        pacing: how often and how long to try again.

    Raises:
        InvalidRequest: the address is no http or https URL.
    """

    def __init__(self, base_url: str | None = None, *, timeout: float = 30.0, pacing: Pacing | None = None) -> None:
        address = base_url or os.environ.get("WINDTUNNEL_URL") or DEFAULT_URL
        self._transport = Transport(address, timeout, pacing or Pacing())
        self.jobs = Jobs(self._transport)
        self.plans = Plans(self._transport)

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
