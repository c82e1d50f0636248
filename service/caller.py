"""The caller of a request: the owner of its API key, or the owner `local` where no key was ever made."""

from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import State

from service.problems.answers import problem
from store import keys, sessions
from store.database import Database
from store.keys import LOCAL
from windtunnel.types import ApiKey

COOKIE = "windtunnel_session"
"""Name of the cookie that holds the session of a user who has signed in to the status page; never the key itself."""


@dataclass(frozen=True)
class Caller:
    """Sender of a request."""

    owner: str
    operator: bool
    """True where they may drain workers, read what is measured of the whole fleet, and manage the keys of other owners."""
    key_id: str | None = None


ANYBODY = Caller(LOCAL, operator=True)
"""Every caller of a server without keys."""


def check_operator(caller: Caller) -> None:
    """Return where the caller is an operator.

    Raises:
        ProblemError: 403, they are not.
    """
    if not caller.operator:
        detail = "this is about the fleet or another owner; it needs a key that `windtunnel keys create --operator` made"
        raise problem(403, "operators-only", "Only operators may do this", detail)


def identify(request: Request, database: Database) -> Caller:
    """The caller, by the key in ``Authorization: Bearer``, else by the session in the cookie of the status page.

    Raises:
        ProblemError: 401, no key was sent where one is needed, or one that does not hold.
    """
    key = _bearer(request)
    if key is None:
        # A cookie that another server on this address left behind stands for nobody.
        caller = signed_in(request, database)
        if caller is None and not needs_keys(request.app.state, database):
            return ANYBODY
        if caller is None:
            raise _unauthorized("this server asks for an API key; send it as `Authorization: Bearer wt_...`")
        return caller
    caller = holder(request.app.state, database, key)
    if caller is not None:
        return caller
    if not needs_keys(request.app.state, database):
        raise _unauthorized("there is no such API key: none was made on this server; send no key")
    raise _unauthorized("there is no such API key, or it was revoked")


def cookie_of(request: Request) -> str | None:
    """The id of a session in the cookie of the status page.

    Browsers send the cookie of the longest path first: that of this server, where another one of the same host keeps its
    own at the root.
    """
    pairs = (part.strip().partition("=") for part in request.headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), None)


def holder(state: State, database: Database, key: str) -> Caller | None:
    """Caller who holds the key; None where there is no such key or it was revoked."""
    with database.snapshot() as session:
        return _caller(state, keys.find(session, key))


def signed_in(request: Request, database: Database) -> Caller | None:
    """Caller whose browser sent the cookie of a session that has not ended; None where it sent none."""
    session_id = cookie_of(request)
    if session_id is None:
        return None
    with database.snapshot() as session:
        return _caller(request.app.state, sessions.find(session, session_id))


def _caller(state: State, found: tuple[ApiKey, bool] | None) -> Caller | None:
    """Caller with a key that was found, whose use is noted aside."""
    if found is None:
        return None
    known, stale = found
    if stale:
        state.key_uses.note(known.id)
    return Caller(known.owner, known.operator, known.id)


def needs_keys(state: State, database: Database) -> bool:
    """True where a key was ever made. A key once made stays, so the database is asked only until there is one."""
    if not state.keyed:
        with database.snapshot() as session:
            state.keyed = keys.any_made(session)
    return bool(state.keyed)


def _bearer(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _unauthorized(detail: str) -> Exception:
    refusal = problem(401, "unauthorized", "An API key is needed", detail)
    refusal.headers = {"www-authenticate": 'Bearer realm="windtunnel"'}
    return refusal
