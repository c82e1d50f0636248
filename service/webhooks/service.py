"""Webhooks as their callers see them: make, list, read, delete, ping."""

from service.caller import Caller
from service.problems.answers import invalid, problem
from service.settings import Network, ServiceSettings, is_loopback
from service.webhooks.addresses import why_not
from service.webhooks.sender import Sender
from store import deliveries, webhooks
from store.database import Database
from store.errors import TooManyWebhooks
from windtunnel.types import FieldError, NewWebhook, Webhook, WebhookDelivery, WebhookDetails, WebhookRequest

SHOWN = 20
"""Deliveries in the answer about one webhook."""


def create(database: Database, settings: ServiceSettings, caller: Caller, wanted: WebhookRequest) -> NewWebhook:
    """Have events of the caller's jobs sent to a URL.

    Raises:
        ProblemError: 422, the URL leads where webhooks may not go; 403, the caller has as many as one may have.
    """
    _check_address(wanted, settings.webhook_networks)
    try:
        with database.transaction() as session:
            return webhooks.create(
                session,
                owner=caller.owner,
                name=wanted.name,
                url=str(wanted.url),
                events=wanted.events,
                most=settings.max_webhooks,
            )
    except TooManyWebhooks as error:
        raise problem(403, "quota", "You have as many as you may have", error.message) from error


def listing(database: Database, caller: Caller) -> list[Webhook]:
    """The caller's webhooks, oldest first."""
    with database.snapshot() as session:
        return webhooks.listing(session, owner=caller.owner)


def get(database: Database, caller: Caller, webhook_id: str) -> WebhookDetails:
    """One webhook of the caller with its last deliveries. Raises WebhookNotFound."""
    with database.snapshot() as session:
        webhook = webhooks.get(session, webhook_id, owner=caller.owner)
        last = deliveries.newest_first(session, webhook_id, SHOWN, owner=caller.owner)
    return WebhookDetails(**webhook.model_dump(), deliveries=last)


def delete(database: Database, caller: Caller, webhook_id: str) -> None:
    """Delete a webhook of the caller with its deliveries. Raises WebhookNotFound."""
    with database.transaction() as session:
        webhooks.remove(session, webhook_id, owner=caller.owner)


def ping(database: Database, caller: Caller, sender: Sender, webhook_id: str) -> WebhookDelivery:
    """Send a webhook of the caller a test message, once. Raises WebhookNotFound."""
    with database.transaction() as session:
        queued = deliveries.ping(session, webhook_id, owner=caller.owner)
    sender.again()
    return queued


def _check_address(wanted: WebhookRequest, allowed: tuple[Network, ...]) -> None:
    """Refuse at once what no attempt would be allowed to reach. A name is looked up at each attempt.

    Raises:
        ProblemError: 422, the host is an address, or a name of one, that webhooks may not go to.
    """
    address, host = wanted.address, wanted.url.host or ""
    kind = why_not(address, allowed) if address is not None else None
    if address is None and is_loopback(host) and not any(network.is_loopback for network in allowed):
        kind = "loopback"
    if kind is not None:
        message = (
            f"url leads to {host}, which is {kind}; allowed: public addresses, and the server's networks in "
            "WINDTUNNEL_WEBHOOK_NETWORKS"
        )
        raise invalid([FieldError(pointer="/url", message=message, given=str(wanted.url))])
