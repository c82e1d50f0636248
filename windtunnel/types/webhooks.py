"""Webhooks on the wire: address, events, and the last deliveries with their outcome."""

import ipaddress
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, HttpUrl, StringConstraints, field_validator

from windtunnel.types.base import Request, Response

WebhookEventType = Literal[
    "job.queued",
    "job.started",
    "job.requeued",
    "job.crashed",
    "job.paused",
    "job.resumed",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
]
"""Event that a webhook may ask for: a change of a job's state."""

PING = "ping"
"""Event of a test call, which goes to the webhook under test alone."""

JOB_EVENTS: frozenset[str] = frozenset(name.removeprefix("job.") for name in get_args(WebhookEventType))
"""Types of entries of a job's log that are sent to webhooks."""

DeliveryState = Literal["pending", "delivered", "failed"]

WebhookName = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)]

LONGEST_URL = 2000


class WebhookRequest(Request):
    """Request for a webhook, which will belong to the caller."""

    url: HttpUrl = Field(
        description="Where to send: http or https, a public address, no user name, no fragment; up to 2,000 characters.",
        examples=["https://example.com/hooks/windtunnel"],
    )
    events: tuple[WebhookEventType, ...] = Field(
        ("job.succeeded", "job.failed", "job.cancelled"),
        min_length=1,
        max_length=len(get_args(WebhookEventType)),
        description="Events to send; by default the three ends of a job.",
    )
    name: WebhookName = Field("", description="Purpose of the webhook.", examples=["chat"])

    @field_validator("url")
    @classmethod
    def _plain(cls, url: HttpUrl) -> HttpUrl:
        if url.username is not None or url.password is not None:
            raise ValueError("url has a user name or a password; leave them out: the signature says who sends")
        if url.fragment is not None:
            raise ValueError("url has a fragment (#...), which is never sent; leave it out")
        if len(str(url)) > LONGEST_URL:
            raise ValueError(f"url has {len(str(url)):,} characters; allowed: at most {LONGEST_URL:,}")
        return url

    @field_validator("events")
    @classmethod
    def _each_once(cls, events: tuple[WebhookEventType, ...]) -> tuple[WebhookEventType, ...]:
        for index, name in enumerate(events):
            if name in events[:index]:
                raise ValueError(f"events names {name!r} twice; give it once")
        return events

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """Host of the URL as an IP address; None where the host is a name."""
        try:
            return ipaddress.ip_address((self.url.host or "").strip("[]"))
        except ValueError:
            return None


class Webhook(Response):
    """A webhook without its secret."""

    id: str
    name: str
    url: str
    events: list[WebhookEventType]
    created_at: datetime


class NewWebhook(Webhook):
    """A webhook that has just been made. Nobody can read the secret again."""

    secret: str
    """Secret that signs the deliveries: ``whsec_`` and 32 random bytes in base 64."""


class WebhookDelivery(Response):
    """One message to a webhook, and how its last attempt went."""

    id: str
    """Header ``webhook-id``, the same for every attempt, so that a receiver can drop a message that it already has."""
    type: str
    state: DeliveryState
    attempts: int
    status: int | None
    """HTTP status of the last answer; None where there was no answer."""
    answer: str | None
    """Beginning of the last answer's body; None where there was no answer."""
    error: str | None
    """Reason why the last attempt failed; None where it did not."""
    created_at: datetime
    attempted_at: datetime | None
    next_attempt_at: datetime | None
    """Time of the next attempt; None once the delivery has ended."""
    ended_at: datetime | None


class WebhookDetails(Webhook):
    """A webhook with its last deliveries, newest first."""

    deliveries: list[WebhookDelivery]


class WebhookMessage(Response):
    """The body of a delivery."""

    type: str
    """Event: a ``WebhookEventType`` such as ``job.succeeded``, or ``ping``."""
    timestamp: datetime
    """Time of the event; attempts to deliver it may come much later."""
    data: dict[str, Any]
    """``job_id``, ``name``, ``task``, ``state``, ``seq`` (in the job's log) and ``details`` (the data of that event)."""
