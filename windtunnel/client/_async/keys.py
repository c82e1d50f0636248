"""``client.keys``: make, list and revoke the caller's API keys."""

from windtunnel.client._answers import Items, parse
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._requests import path
from windtunnel.types import ApiKey, NewApiKey


class AsyncKeys:
    """The caller's API keys. The first key of a server is made where the server runs: ``windtunnel keys create``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, name: str) -> NewApiKey:
        """Make another key with the rights of the key in use. Its secret, ``key``, is shown here and never again.

        Args:
            name: purpose of the key, such as the machine that will hold it; 1 to 200 characters.

        Raises:
            ValidationFailed: the name is empty or too long.
            Forbidden: the owner has as many keys as allowed.
        """
        return parse(NewApiKey, await self._transport.post_once(path("keys"), {"name": name}))

    async def list(self) -> list[ApiKey]:
        """The caller's keys without their secrets, oldest first, revoked keys included."""
        page = await self._transport.read(Items[ApiKey], path("keys"))
        return page.items

    async def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key: its next request is refused. The key in use may be revoked, too.

        Raises:
            NotFound: the caller has no such key.
        """
        return parse(ApiKey, await self._transport.delete(path("keys", key_id)))
