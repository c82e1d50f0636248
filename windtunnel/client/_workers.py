"""``client.workers``: who works, and who is to leave."""

from windtunnel.client._transport import Items, Transport, path
from windtunnel.types import WorkerInfo


class Workers:
    """The workers of a server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> list[WorkerInfo]:
        """Workers heard of within a day."""
        return self._transport.parse(Items[WorkerInfo], self._transport.get(path("workers"))).items

    def drain(self, worker_id: str) -> WorkerInfo:
        """Ask a worker to let go of its job, which goes on elsewhere, and to take no other.

        Raises:
            NotFound: no such worker.
            Forbidden: the server has keys, and this one is no operator's.
        """
        return self._transport.parse(WorkerInfo, self._transport.post(path("workers", worker_id, "drain"), {}))
