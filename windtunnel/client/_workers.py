"""``client.workers``: list the workers of a server, and drain them."""
# Written by tools/sync_client.py from _async/workers.py: change that one.

from windtunnel.client._answers import Items, parse
from windtunnel.client._requests import path
from windtunnel.client._transport import Transport
from windtunnel.types import WorkerInfo


class Workers:
    """The workers of a server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> list[WorkerInfo]:
        """Workers that reported within the last day."""
        page = self._transport.read(Items[WorkerInfo], path("workers"))
        return page.items

    def drain(self, worker_id: str) -> WorkerInfo:
        """Ask a worker to release its job, which another worker continues, and to take no other.

        Raises:
            NotFound: no such worker.
            Forbidden: the server asks for keys, and the key in use is not an operator's.
        """
        return parse(WorkerInfo, self._transport.post(path("workers", worker_id, "drain"), {}))
