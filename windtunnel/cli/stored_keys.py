"""API keys in the database of a server, for who works where it runs. Needs the server's packages."""

from store import keys
from store.database import Database
from store.errors import KeyNotFound, TooManyKeys
from windtunnel.cli.exits import SpecError
from windtunnel.types import ApiKey, NewApiKey


class InDatabase:
    """The keys of every owner, in the database itself.

    Args:
        database: stays the caller's to dispose of.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, owner: str | None, operator: bool) -> NewApiKey:
        """Make a key; without an owner that of who uses the server without keys."""
        whose = owner or keys.LOCAL
        try:
            with self._database.transaction() as session:
                return keys.create(session, name, owner=whose, operator=int(operator))
        except TooManyKeys as error:
            raise SpecError(f"owner {whose!r}: {error}") from error

    def list(self, owner: str | None) -> list[ApiKey]:
        """Keys of the owner; None: of everybody."""
        with self._database.snapshot() as session:
            return keys.everybodys(session) if owner is None else keys.listing(session, owner=owner)

    def revoke(self, key_id: str) -> ApiKey:
        """End a key of anybody."""
        try:
            with self._database.transaction() as session:
                return keys.revoke_anybodys(session, key_id)
        except KeyNotFound as error:
            raise SpecError(f"there is no key {key_id!r}; `windtunnel keys list` shows them") from error
