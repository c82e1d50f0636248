"""Webhooks: made, listed, deleted by their owner. What is sent to them is in deliveries.py."""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.orm import Session

from store import identifiers
from store.dialect import now, take_turns
from store.errors import TooManyWebhooks, WebhookNotFound
from store.tables import webhook_deliveries, webhooks
from windtunnel.types import NewWebhook, Webhook
from windtunnel.webhooks import SECRET_PREFIX

SECRET_BYTES = 32
"""The specification asks for 24 to 64."""


def create(s: Session, *, owner: str, name: str, url: str, events: Sequence[str], most: int) -> NewWebhook:
    """Make a webhook; its secret is in the answer and in no other.

    Raises:
        TooManyWebhooks: the owner has ``most``.
    """
    take_turns(s, "webhooks", whose=owner)
    owned = s.scalar(select(func.count()).select_from(webhooks).where(webhooks.c.owner == owner)) or 0
    if owned >= most:
        raise TooManyWebhooks(most)
    secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    row = {"id": identifiers.webhook_id(), "owner": owner, "name": name, "url": url, "events": list(events)}
    values = {**row, "secret": secret, "created_at": now()}
    made = s.execute(insert(webhooks).values(**values).returning(*webhooks.c)).one()
    return NewWebhook(**_webhook(made).model_dump(), secret=secret)


def listing(s: Session, *, owner: str) -> list[Webhook]:
    """The owner's webhooks, oldest first."""
    return [_webhook(row) for row in s.execute(select(webhooks).where(webhooks.c.owner == owner).order_by(webhooks.c.id))]


def get(s: Session, webhook_id: str, *, owner: str) -> Webhook:
    """One webhook of the owner.

    Raises:
        WebhookNotFound: the owner has no such webhook.
    """
    row = s.execute(select(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.owner == owner)).first()
    if row is None:
        raise WebhookNotFound(webhook_id)
    return _webhook(row)


def remove(s: Session, webhook_id: str, *, owner: str) -> None:
    """Delete a webhook of the owner and its deliveries, those that wait too.

    Raises:
        WebhookNotFound: the owner has no such webhook.
    """
    # The lock first: a transaction that is putting a message for it into the outbox ends before.
    this = webhooks.c.id == webhook_id
    if s.scalar(select(webhooks.c.id).where(this, webhooks.c.owner == owner).with_for_update()) is None:
        raise WebhookNotFound(webhook_id)
    s.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook_id == webhook_id))
    s.execute(delete(webhooks).where(this))


def _webhook(row: Row[*tuple[Any, ...]]) -> Webhook:
    return Webhook(
        id=row.id,
        name=row.name,
        url=row.url,
        events=row.events,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
    )
