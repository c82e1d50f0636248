"""``client.workers``: who works, and who is to leave."""

from windtunnel.client._answers import Items, parse
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._requests import path
from windtunnel.types import WorkerInfo


class AsyncWorkers:
    """The workers of a server."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> list[WorkerInfo]:
        """Workers heard of within a day."""
        page = await self._transport.read(Items[WorkerInfo], path("workers"))
        return page.items

    async def drain(self, worker_id: str) -> WorkerInfo:
        """Ask a worker to let go of its job, which goes on elsewhere, and to take no other.

        Raises:
            NotFound: no such worker.
            Forbidden: the server has keys, and this one is no operator's.
        """
        return parse(WorkerInfo, await self._transport.post(path("workers", worker_id, "drain"), {}))
