"""API keys as their callers see them: make, list, revoke, for routes and pages alike."""

from service.caller import Caller
from service.problems.answers import problem
from store import keys
from store.database import Database
from store.errors import TooManyKeys
from windtunnel.types import ApiKey, KeyRequest, NewApiKey


def create(database: Database, caller: Caller, wanted: KeyRequest) -> NewApiKey:
    """Make another key of the caller, with the caller's rights.

    Raises:
        ProblemError: 403, the caller has as many as one may have.
    """
    try:
        with database.transaction() as session:
            return keys.create(session, wanted.name, owner=caller.owner, operator=int(caller.operator))
    except TooManyKeys as error:
        raise problem(403, "quota", "You have as many as you may have", error.message) from error


def listing(database: Database, caller: Caller) -> list[ApiKey]:
    """The caller's keys, oldest first; revoked ones too."""
    with database.snapshot() as session:
        return keys.listing(session, owner=caller.owner)


def revoke(database: Database, caller: Caller, key_id: str) -> ApiKey:
    """End a key of the caller, from its next request on. Raises KeyNotFound."""
    with database.transaction() as session:
        return keys.revoke(session, key_id, owner=caller.owner)
