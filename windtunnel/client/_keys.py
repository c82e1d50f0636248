"""``client.keys``: the API keys of who asks."""
# Written by tools/sync_client.py from _async/keys.py: change that one.

from windtunnel.client._answers import Items, parse
from windtunnel.client._requests import path
from windtunnel.client._transport import Transport
from windtunnel.types import ApiKey, NewApiKey


class Keys:
    """Your API keys. The first one of a server is made where the server runs: ``windtunnel keys create``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str) -> NewApiKey:
        """Another key of yours, with the rights of the one that is used. Its ``key`` is told here and never again.

        Args:
            name: what it is for, such as the machine that will hold it; 1 to 200 characters.

        Raises:
            ValidationFailed: the name cannot be one.
            Forbidden: there are as many keys as one owner may have.
        """
        return parse(NewApiKey, self._transport.post_once(path("keys"), {"name": name}))

    def list(self) -> list[ApiKey]:
        """Your keys without their secrets, oldest first, revoked ones too."""
        page = self._transport.read(Items[ApiKey], path("keys"))
        return page.items

    def revoke(self, key_id: str) -> ApiKey:
        """End a key: its next request is refused. It may be the one that is used.

        Raises:
            NotFound: no such key of yours.
        """
        return parse(ApiKey, self._transport.delete(path("keys", key_id)))
