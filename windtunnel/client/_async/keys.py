"""``client.keys``: make, list and revoke the caller's API keys."""

from windtunnel.client._answers import Items, parse
from windtunnel.client._async.transport import AsyncTransport
from windtunnel.client._requests import path
from windtunnel.types import ApiKey, NewApiKey


class AsyncKeys:
    """The caller's API keys. The first key of a server is made where the server runs: ``windtunnel keys create``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, name: str, *, owner: str | None = None, operator: bool | None = None) -> NewApiKey:
        """Make another key with the rights of the key in use. Its secret, ``key``, is shown here and never again.

        Args:
            name: purpose of the key, such as the machine that will hold it; 1 to 200 characters.
            owner: owner whose jobs the key opens; by default the caller. Another one's needs an operator's key.
            operator: whether the key may also drain workers and manage keys of others; by default as the key in use, or
                false for another owner.

        Raises:
            ValidationFailed: the name is empty or too long.
            QuotaExceeded: the owner has as many keys as allowed.
            OperatorsOnly: the key in use is no operator's, and the new one is to be another owner's or an operator's.
        """
        wanted = {"name": name, "owner": owner, "operator": operator}
        given = {field: value for field, value in wanted.items() if value is not None}
        return parse(NewApiKey, await self._transport.post_once(path("keys"), given))

    async def list(self, *, owner: str | None = None, everybody: bool = False) -> list[ApiKey]:
        """The caller's keys without their secrets, oldest first, revoked keys included.

        Args:
            owner: keys of this owner instead; another one's need an operator's key.
            everybody: keys of every owner; needs an operator's key.

        Raises:
            OperatorsOnly: keys of others are asked for, and the key in use is no operator's.
        """
        asked = {"owner": owner, "everybody": "true" if everybody else None}
        given = {field: value for field, value in asked.items() if value is not None}
        page = await self._transport.read(Items[ApiKey], path("keys"), given)
        return page.items

    async def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key: its next request is refused. The key in use may be revoked, too; an operator may revoke anybody's.

        Raises:
            NotFound: the caller has no such key.
        """
        return parse(ApiKey, await self._transport.delete(path("keys", key_id)))
