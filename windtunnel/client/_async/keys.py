"""``client.keys``: the API keys of who asks."""

from windtunnel.client._answers import Items, parse
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._requests import path
from windtunnel.types import ApiKey, NewApiKey


class AsyncKeys:
    """Your API keys. The first one of a server is made where the server runs: ``windtunnel keys create``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, name: str) -> NewApiKey:
        """Another key of yours, with the rights of the one that is used. Its ``key`` is told here and never again.

        Args:
            name: what it is for, such as the machine that will hold it; 1 to 200 characters.

        Raises:
            ValidationFailed: the name cannot be one.
            Forbidden: there are as many keys as one owner may have.
        """
        return parse(NewApiKey, await self._transport.post_once(path("keys"), {"name": name}))

    async def list(self) -> list[ApiKey]:
        """Your keys without their secrets, oldest first, revoked ones too."""
        page = await self._transport.read(Items[ApiKey], path("keys"))
        return page.items

    async def revoke(self, key_id: str) -> ApiKey:
        """End a key: its next request is refused. It may be the one that is used.

        Raises:
            NotFound: no such key of yours.
        """
        return parse(ApiKey, await self._transport.delete(path("keys", key_id)))
