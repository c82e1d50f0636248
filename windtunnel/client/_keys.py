"""``client.keys``: make, list and revoke the caller's API keys."""
# Written by tools/sync_client.py from _async/keys.py: change that one.

from windtunnel.client._answers import Items, parse
from windtunnel.client._requests import path
from windtunnel.client._transport import Transport
from windtunnel.types import ApiKey, NewApiKey


class Keys:
    """The caller's API keys. The first key of a server is made where the server runs: ``windtunnel keys create``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str) -> NewApiKey:
        """Make another key with the rights of the key in use. Its secret, ``key``, is shown here and never again.

        Args:
            name: purpose of the key, such as the machine that will hold it; 1 to 200 characters.

        Raises:
            ValidationFailed: the name is empty or too long.
            Forbidden: the owner has as many keys as allowed.
        """
        return parse(NewApiKey, self._transport.post_once(path("keys"), {"name": name}))

    def list(self) -> list[ApiKey]:
        """The caller's keys without their secrets, oldest first, revoked keys included."""
        page = self._transport.read(Items[ApiKey], path("keys"))
        return page.items

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key: its next request is refused. The key in use may be revoked, too.

        Raises:
            NotFound: the caller has no such key.
        """
        return parse(ApiKey, self._transport.delete(path("keys", key_id)))
