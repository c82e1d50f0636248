"""``client.workers``: list the workers of a server, and drain them."""

from windtunnel.client._answers import Items, parse
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._requests import path
from windtunnel.types import WorkerInfo


class AsyncWorkers:
    """The workers of a server."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> list[WorkerInfo]:
        """Workers that reported within the last day."""
        page = await self._transport.read(Items[WorkerInfo], path("workers"))
        return page.items

    async def drain(self, worker_id: str) -> WorkerInfo:
        """Ask a worker to release its job, which another worker continues, and to take no other.

        Raises:
            NotFound: no such worker.
            Forbidden: the server asks for keys, and the key in use is not an operator's.
        """
        return parse(WorkerInfo, await self._transport.post(path("workers", worker_id, "drain"), {}))
