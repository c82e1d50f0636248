"""The outbox of webhooks: a message is written in the transaction of the event that it tells, and sent by any server.

pending --an answer of 2xx--> delivered
pending --the last attempt, or 410 Gone--> failed

The column ``next_attempt_at`` says when. Claiming an attempt moves it past the attempt's end, so that the message of a
server that died comes up again; what an attempt writes names its number, so that one that was given up writes nothing.
A message may arrive twice, under the same id.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, select, update
from sqlalchemy.orm import Session

from store import identifiers
from store.dialect import now
from store.errors import TooManyPings, WebhookNotFound
from store.tables import webhook_deliveries as outbox
from store.tables import webhooks
from windtunnel.types import WebhookDelivery, WebhookMessage
from windtunnel.types.webhooks import PING

KEPT = 50
"""Ended deliveries of a webhook that stay, the newest."""

MOST_PINGS = 5
"""Test messages to one webhook that wait, at most."""

SPARE = 16
"""Messages looked at beyond those asked for, in case other servers claim the first ones at this moment."""


@dataclass(frozen=True)
class Attempt:
    """The right to try a delivery once. ``number`` is the fencing token: a later attempt has a higher one."""

    message_id: str
    number: int
    webhook_id: str
    type: str
    url: str
    secret: str
    body: str


@dataclass(frozen=True)
class Outcome:
    """Result of one attempt: delivered where ``error`` is None."""

    status: int | None = None
    """HTTP status of the answer; None where there was no answer."""
    answer: str | None = None
    error: str | None = None
    """Why the attempt failed; None where the message was delivered."""
    final: bool = False
    """The receiver wants no other attempt."""


def enqueue(s: Session, kind: str, data: Mapping[str, Any], *, owner: str) -> None:
    """Put a message of type ``kind`` into the outbox for each webhook of the owner that asks for it."""
    # Nobody deletes them until the transaction ends; other writers need not wait.
    own = select(webhooks.c.id, webhooks.c.events).where(webhooks.c.owner == owner).order_by(webhooks.c.id)
    wanting = [row.id for row in s.execute(own.with_for_update(read=True, key_share=True)) if kind in row.events]
    if wanting:
        body = _body(s, kind, data)
        s.execute(insert(outbox).values(created_at=now(), next_attempt_at=now()), [_row(to, kind, body) for to in wanting])


def ping(s: Session, webhook_id: str, *, owner: str) -> WebhookDelivery:
    """Put a test message into the outbox of one webhook of the owner, whatever it asks for; it is tried once.

    Raises:
        WebhookNotFound: the owner has no such webhook.
        TooManyPings: as many test messages to it wait as may.
    """
    this = (webhooks.c.id == webhook_id, webhooks.c.owner == owner)
    found = s.execute(select(webhooks.c.name).where(*this).with_for_update()).first()
    if found is None:
        raise WebhookNotFound(webhook_id)
    waiting = (outbox.c.webhook_id == webhook_id, outbox.c.type == PING, outbox.c.state == "pending")
    if (s.scalar(select(func.count()).select_from(outbox).where(*waiting)) or 0) >= MOST_PINGS:
        raise TooManyPings(MOST_PINGS)
    row = _row(webhook_id, PING, _body(s, PING, {"webhook_id": webhook_id, "name": found.name}))
    made = insert(outbox).values(created_at=now(), next_attempt_at=now(), **row)
    return _delivery(s.execute(made.returning(*outbox.c)).one())


def claim(s: Session, limit: int, hold: float, busy: Collection[str] = ()) -> list[Attempt]:
    """Claims up to ``limit`` messages that are to be tried now, one for each webhook, owners in turn.

    Any number of servers may ask at once; each gets other messages.

    Args:
        s: a session that writes.
        limit: messages, at most.
        hold: seconds after which the attempt counts as lost.
        busy: webhooks that are to get none now: a slow receiver takes one connection, and no more.
    """
    waits = (outbox.c.next_attempt_at <= now(),)
    oldest = func.row_number().over(partition_by=outbox.c.webhook_id, order_by=(outbox.c.next_attempt_at, outbox.c.id))
    first = select(outbox.c.id, outbox.c.webhook_id, outbox.c.next_attempt_at, oldest.label("place"))
    first_ones = first.where(*waits, outbox.c.webhook_id.not_in(sorted(busy))).subquery()
    turn = func.row_number().over(partition_by=webhooks.c.owner, order_by=(first_ones.c.next_attempt_at, first_ones.c.id))
    turns = (
        select(first_ones.c.id)
        .join(webhooks, webhooks.c.id == first_ones.c.webhook_id)
        .where(first_ones.c.place == 1)
        .order_by(turn, first_ones.c.next_attempt_at, first_ones.c.id)
        .limit(limit + SPARE)
    )
    claimed: list[Attempt] = []
    for message_id in s.scalars(turns).all():
        if len(claimed) == limit:
            break
        free = select(outbox.c.id).where(outbox.c.id == message_id, *waits).with_for_update(skip_locked=True)
        attempt = {"attempts": outbox.c.attempts + 1, "attempted_at": now(), "next_attempt_at": now() + hold}
        taken = update(outbox).where(outbox.c.id == free.scalar_subquery()).values(**attempt)
        row = s.execute(taken.returning(*outbox.c)).first()
        if row is not None:
            to = s.execute(select(webhooks.c.url, webhooks.c.secret).where(webhooks.c.id == row.webhook_id)).one()
            claimed.append(Attempt(row.id, row.attempts, row.webhook_id, row.type, to.url, to.secret, row.body))
    return claimed


def any_due(s: Session) -> bool:
    """True where a message is to be tried now. Asked in a snapshot, which holds no lock."""
    return s.scalar(select(outbox.c.id).where(outbox.c.next_attempt_at <= now()).limit(1)) is not None


def record(s: Session, attempt: Attempt, outcome: Outcome, again_in: float | None) -> None:
    """Write down how an attempt went, unless it was given up meanwhile.

    Args:
        s: a session that writes.
        attempt: the one claimed.
        outcome: how it went.
        again_in: seconds until the next one where this one failed; None: there is no other.
    """
    values: dict[str, Any] = {"status": outcome.status, "answer": outcome.answer, "error": outcome.error}
    if outcome.error is None:
        values |= {"state": "delivered", "next_attempt_at": None, "ended_at": now()}
    elif again_in is None or outcome.final:
        values |= {"state": "failed", "next_attempt_at": None, "ended_at": now()}
    else:
        values |= {"next_attempt_at": now() + again_in}
    s.execute(update(outbox).where(_held(attempt)).values(**values))
    if values.get("ended_at") is not None:
        _forget(s, attempt.webhook_id)


def give_back(s: Session, attempt: Attempt) -> None:
    """Undo a claim: the server stops before the attempt was over."""
    values = {"attempts": outbox.c.attempts - 1, "next_attempt_at": now()}
    s.execute(update(outbox).where(_held(attempt)).values(**values))


def newest_first(s: Session, webhook_id: str, limit: int, *, owner: str) -> list[WebhookDelivery]:
    """The last deliveries of a webhook of the owner, those that wait among them; none of a webhook that is not theirs."""
    of_owner = select(outbox).join(webhooks, webhooks.c.id == outbox.c.webhook_id).where(webhooks.c.owner == owner)
    of_webhook = of_owner.where(outbox.c.webhook_id == webhook_id).order_by(outbox.c.id.desc()).limit(limit)
    return [_delivery(row) for row in s.execute(of_webhook)]


def _held(attempt: Attempt) -> Any:
    this = (outbox.c.id == attempt.message_id, outbox.c.attempts == attempt.number)
    return and_(*this, outbox.c.state == "pending")


def _forget(s: Session, webhook_id: str) -> None:
    ended = (outbox.c.webhook_id == webhook_id, outbox.c.state != "pending")
    newest = select(outbox.c.id).where(*ended).order_by(outbox.c.id.desc()).limit(KEPT)
    s.execute(delete(outbox).where(*ended, outbox.c.id.not_in(newest)))


def _body(s: Session, kind: str, data: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(s.scalar(select(now())) or 0.0, UTC)
    return json.dumps(WebhookMessage(type=kind, timestamp=at, data=dict(data)).model_dump(mode="json"))


def _row(webhook_id: str, kind: str, body: str) -> dict[str, Any]:
    row = {"id": identifiers.message_id(), "webhook_id": webhook_id, "type": kind, "body": body}
    return {**row, "state": "pending", "attempts": 0}


def _delivery(row: Row[*tuple[Any, ...]]) -> WebhookDelivery:
    return WebhookDelivery(
        id=row.id,
        type=row.type,
        state=row.state,
        attempts=row.attempts,
        status=row.status,
        answer=row.answer,
        error=row.error,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        attempted_at=_time(row.attempted_at),
        next_attempt_at=_time(row.next_attempt_at),
        ended_at=_time(row.ended_at),
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
