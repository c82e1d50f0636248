"""Routes of webhooks: make one, list one's own, read one with its last deliveries, delete one, send it a test message."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from service.dependencies import DatabaseDependency, OwnerDependency, SettingsDependency, WebhookId
from service.problems.answers import PROBLEMS, invalid, problem
from service.settings import Network, is_loopback
from service.webhooks.addresses import why_not
from service.webhooks.sender import Sender
from store import deliveries, webhooks
from store.errors import TooManyWebhooks
from windtunnel.types import FieldError, NewWebhook, Webhook, WebhookDelivery, WebhookDetails, WebhookRequest
from windtunnel.types.base import Response as ResponseModel

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=PROBLEMS)

SHOWN = 20
"""Deliveries in the answer about one webhook."""


def _sender(request: Request) -> Sender:
    sender: Sender = request.app.state.sender
    return sender


SenderDependency = Annotated[Sender, Depends(_sender)]


class WebhookList(ResponseModel):
    """Webhooks without their secrets, oldest first."""

    items: list[Webhook]


@router.post("", status_code=201, response_model=NewWebhook)
def create_webhook(
    wanted: WebhookRequest,
    response: Response,
    *,
    database: DatabaseDependency,
    settings: SettingsDependency,
    owner: OwnerDependency,
) -> NewWebhook:
    """Have events of your jobs sent to a URL. The secret that signs them is in this answer and nowhere else."""
    check_address(wanted, settings.webhook_networks)
    try:
        with database.transaction() as session:
            made = webhooks.create(
                session,
                owner,
                name=wanted.name,
                url=str(wanted.url),
                events=wanted.events,
                most=settings.max_webhooks,
            )
    except TooManyWebhooks as error:
        raise problem(403, "quota", "You have as many as you may have", error.message) from error
    response.headers["location"] = f"/v1/webhooks/{made.id}"
    return made


@router.get("", response_model=WebhookList)
def list_webhooks(database: DatabaseDependency, owner: OwnerDependency) -> WebhookList:
    """Your webhooks."""
    with database.snapshot() as session:
        return WebhookList(items=webhooks.listing(session, owner))


@router.get("/{webhook_id}", response_model=WebhookDetails)
def get_webhook(webhook_id: WebhookId, database: DatabaseDependency) -> WebhookDetails:
    """One webhook, with its last deliveries and how they went."""
    with database.snapshot() as session:
        webhook = webhooks.get(session, webhook_id)
        return WebhookDetails(**webhook.model_dump(), deliveries=deliveries.newest_first(session, webhook_id, SHOWN))


@router.delete("/{webhook_id}", status_code=204)
def delete_webhook(webhook_id: WebhookId, database: DatabaseDependency) -> None:
    """Delete a webhook with its deliveries; what has not been sent is sent no more."""
    with database.transaction() as session:
        webhooks.remove(session, webhook_id)


@router.post("/{webhook_id}/ping", status_code=202, response_model=WebhookDelivery)
def ping_webhook(webhook_id: WebhookId, database: DatabaseDependency, sender: SenderDependency) -> WebhookDelivery:
    """Send it a message of type `ping`, once. How that went is in `deliveries` of the webhook a moment later."""
    with database.transaction() as session:
        queued = deliveries.ping(session, webhook_id)
    sender.again()
    return queued


def check_address(wanted: WebhookRequest, allowed: tuple[Network, ...]) -> None:
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
