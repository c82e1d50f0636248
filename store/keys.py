"""API keys: 256 random bits behind a prefix, kept as SHA-256, shown once.

A digest without salt is enough: nobody can try 2^256 keys. Revoked keys keep their rows.
"""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, exists, func, insert, or_, select, true, update
from sqlalchemy.orm import Session

from store import identifiers
from store.dialect import now, take_turns
from store.errors import KeyNotFound, TooManyKeys
from store.tables import api_keys
from windtunnel.types import ApiKey, NewApiKey

LOCAL = "local"
"""Owner of everything on a server without keys."""

PREFIX = "wt_"
SHOWN = 8
"""Characters of a key that stay readable, those of the prefix among them."""

RANDOM_BYTES = 32

MOST = 50
"""Keys that one owner may have at the same time."""

USE_NOTED = 60.0
"""Seconds between two notes of a key's use: not every request is to write."""

_OLDEST_FIRST = select(api_keys).order_by(api_keys.c.id)


def create(s: Session, name: str, *, owner: str, operator: int = 0) -> NewApiKey:
    """Make a key.

    Args:
        s: a session that writes.
        name: what it is for.
        owner: whose jobs and plans it opens.
        operator: 1 where it may also drain workers and read the fleet's metrics.

    Raises:
        TooManyKeys: the owner has 50 that are not revoked.
    """
    take_turns(s, "keys", whose=owner)
    in_use = select(func.count()).select_from(api_keys).where(api_keys.c.owner == owner, api_keys.c.revoked_at.is_(None))
    if (s.scalar(in_use) or 0) >= MOST:
        raise TooManyKeys(MOST)
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    row = {
        "id": identifiers.key_id(),
        "owner": owner,
        "name": name,
        "prefix": key[:SHOWN],
        "sha256": digest(key),
        "operator": operator,
        "created_at": now(),
    }
    made = s.execute(insert(api_keys).values(**row).returning(*api_keys.c)).one()
    return NewApiKey(**api_key(made).model_dump(), key=key)


def stale() -> ColumnElement[bool]:
    """Condition, named ``stale``, on a key whose use was not noted of late."""
    return or_(api_keys.c.used_at.is_(None), api_keys.c.used_at < now() - USE_NOTED).label("stale")


def find(s: Session, key: str) -> tuple[ApiKey, bool] | None:
    """The key's record, and whether its use is to be noted; None where there is no such key or it was revoked."""
    this = select(*api_keys.c, stale()).where(api_keys.c.sha256 == digest(key), api_keys.c.revoked_at.is_(None))
    row = s.execute(this).first()
    return None if row is None else (api_key(row), bool(row.stale))


def used(s: Session, key_ids: Iterable[str]) -> None:
    """Note that these keys are used now."""
    s.execute(update(api_keys).where(api_keys.c.id.in_(sorted(key_ids))).values(used_at=now()))


def listing(s: Session, *, owner: str) -> list[ApiKey]:
    """Keys of the owner, oldest first; revoked ones too."""
    return [api_key(row) for row in s.execute(_OLDEST_FIRST.where(api_keys.c.owner == owner))]


def everybodys(s: Session) -> list[ApiKey]:
    """Keys of every owner, oldest first; revoked ones too. For commands that work on the database itself."""
    return [api_key(row) for row in s.execute(_OLDEST_FIRST)]


def revoke(s: Session, key_id: str, *, owner: str) -> ApiKey:
    """End a key of the owner, from its next request on; one that has ended stays as it is.

    Raises:
        KeyNotFound: the owner has no such key.
    """
    return _revoke(s, key_id, api_keys.c.owner == owner)


def revoke_anybodys(s: Session, key_id: str) -> ApiKey:
    """End a key of any owner. For commands that work on the database itself.

    Raises:
        KeyNotFound: there is no such key.
    """
    return _revoke(s, key_id, true())


def _revoke(s: Session, key_id: str, whose: ColumnElement[bool]) -> ApiKey:
    values = {"revoked_at": func.coalesce(api_keys.c.revoked_at, now())}
    ended = update(api_keys).where(api_keys.c.id == key_id, whose).values(**values)
    row = s.execute(ended.returning(*api_keys.c)).first()
    if row is None:
        raise KeyNotFound(key_id)
    return api_key(row)


def any_made(s: Session) -> bool:
    """True where a key was ever made here, revoked or not: from then on every request needs one."""
    return bool(s.scalar(select(exists().where(api_keys.c.id.is_not(None)))))


def digest(key: str) -> str:
    """SHA-256 of a secret."""
    # What is no Unicode is no key either; it must not end in an error of the encoding.
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def api_key(row: Row[*tuple[Any, ...]]) -> ApiKey:
    """Record of a key, of its row."""
    return ApiKey(
        id=row.id,
        owner=row.owner,
        name=row.name,
        prefix=row.prefix,
        operator=bool(row.operator),
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        used_at=_time(row.used_at),
        revoked_at=_time(row.revoked_at),
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
