"""API keys as their callers see them: make, list, revoke, for routes and pages alike.

Keys of others are an operator's matter, and to anybody else as if they were not there.
"""

from service.caller import Caller, check_operator
from service.problems.answers import problem
from store import keys
from store.database import Database
from store.errors import TooManyKeys
from windtunnel.types import ApiKey, KeyRequest, NewApiKey
from windtunnel.types.keys import KeysQuery


def create(database: Database, caller: Caller, wanted: KeyRequest) -> NewApiKey:
    """Make another key of the caller, with the caller's rights; an operator's may be for another owner, or with others.

    Raises:
        ProblemError: 403, the owner has as many as one may have, or the caller is no operator and asks for one's rights.
    """
    owner = wanted.owner or caller.owner
    own = owner == caller.owner
    operator = (caller.operator and own) if wanted.operator is None else wanted.operator
    if not own or operator:
        check_operator(caller)
    try:
        with database.transaction() as session:
            return keys.create(session, wanted.name, owner=owner, operator=int(operator))
    except TooManyKeys as error:
        title = "You have as many as you may have" if own else f"{owner} has as many as one may have"
        raise problem(403, "quota", title, error.message) from error


def listing(database: Database, caller: Caller, query: KeysQuery | None = None) -> list[ApiKey]:
    """Keys of the caller, of another owner, or of everybody, oldest first; revoked ones too.

    Raises:
        ProblemError: 403, keys of others are asked for, and the caller is no operator.
    """
    asked = query or KeysQuery()
    owner = asked.owner or caller.owner
    if asked.everybody or owner != caller.owner:
        check_operator(caller)
    with database.snapshot() as session:
        if asked.everybody and asked.owner is None:
            return keys.everybodys(session)
        return keys.listing(session, owner=owner)


def revoke(database: Database, caller: Caller, key_id: str) -> ApiKey:
    """End a key of the caller, from its next request on; an operator may end anybody's. Raises KeyNotFound."""
    with database.transaction() as session:
        if caller.operator:
            return keys.revoke_anybodys(session, key_id)
        return keys.revoke(session, key_id, owner=caller.owner)
