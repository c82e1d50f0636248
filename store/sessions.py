"""Sessions of browsers: 256 random bits that stand for an API key until they expire, are ended, or the key is revoked.

A cookie that leaks is worth a session, and never the key. Only the digest of an id is kept.
"""

import secrets

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from store.dialect import now
from store.errors import KeyNotFound
from store.keys import RANDOM_BYTES, api_key, digest, stale
from store.tables import api_keys, sessions
from windtunnel.types import ApiKey

PREFIX = "ws_"

MOST = 20
"""Sessions of one key at the same time: one more ends the oldest."""


def begin(s: Session, key_id: str, *, owner: str, seconds: float) -> str:
    """Begin a session of a browser that has shown this key of the owner; its id, which only the browser keeps.

    Raises:
        KeyNotFound: the owner has no such key, or it was revoked.
    """
    this = (api_keys.c.id == key_id, api_keys.c.owner == owner, api_keys.c.revoked_at.is_(None))
    # The lock: two sign-ins at once are not to end each other's sessions.
    if s.scalar(select(api_keys.c.id).where(*this).with_for_update()) is None:
        raise KeyNotFound(key_id)
    s.execute(delete(sessions).where(sessions.c.expires_at <= now()))
    newest = select(sessions.c.sha256).where(sessions.c.key_id == key_id)
    kept = newest.order_by(sessions.c.created_at.desc(), sessions.c.sha256).limit(MOST - 1)
    s.execute(delete(sessions).where(sessions.c.key_id == key_id, sessions.c.sha256.not_in(kept)))
    session_id = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    row = {"sha256": digest(session_id), "key_id": key_id, "created_at": now(), "expires_at": now() + seconds}
    s.execute(insert(sessions).values(**row))
    return session_id


def find(s: Session, session_id: str) -> tuple[ApiKey, bool] | None:
    """The record of the session's key, and whether its use is to be noted; None where one of them has ended."""
    this = (sessions.c.sha256 == digest(session_id), sessions.c.expires_at > now(), api_keys.c.revoked_at.is_(None))
    row = s.execute(select(*api_keys.c, stale()).join(sessions, sessions.c.key_id == api_keys.c.id).where(*this)).first()
    return None if row is None else (api_key(row), bool(row.stale))


def end(s: Session, session_id: str) -> None:
    """End a session; nothing where there is none."""
    s.execute(delete(sessions).where(sessions.c.sha256 == digest(session_id)))
