"""Routes of webhooks: make one, list one's own, read one with its last deliveries, delete one, send it a test message."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from service.dependencies import CallerDependency, DatabaseDependency, SettingsDependency, WebhookId
from service.problems.answers import PROBLEMS
from service.proxying import address
from service.webhooks import service
from service.webhooks.sender import Sender
from windtunnel.types import NewWebhook, Webhook, WebhookDelivery, WebhookDetails, WebhookRequest
from windtunnel.types.base import Response as ResponseModel

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=PROBLEMS)


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
    request: Request,
    response: Response,
    *,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
) -> NewWebhook:
    """Have events of your jobs sent to a URL. The secret that signs them is in this answer and nowhere else."""
    made = service.create(database, settings, caller, wanted)
    response.headers["location"] = address(request, f"/v1/webhooks/{made.id}")
    return made


@router.get("", response_model=WebhookList)
def list_webhooks(database: DatabaseDependency, caller: CallerDependency) -> WebhookList:
    """Your webhooks."""
    return WebhookList(items=service.listing(database, caller))


@router.get("/{webhook_id}", response_model=WebhookDetails)
def get_webhook(webhook_id: WebhookId, database: DatabaseDependency, caller: CallerDependency) -> WebhookDetails:
    """One webhook, with its last deliveries and how they went."""
    return service.get(database, caller, webhook_id)


@router.delete("/{webhook_id}", status_code=204)
def delete_webhook(webhook_id: WebhookId, database: DatabaseDependency, caller: CallerDependency) -> None:
    """Delete a webhook with its deliveries; what has not been sent is sent no more."""
    service.delete(database, caller, webhook_id)


@router.post("/{webhook_id}/ping", status_code=202, response_model=WebhookDelivery)
def ping_webhook(
    webhook_id: WebhookId, database: DatabaseDependency, caller: CallerDependency, sender: SenderDependency
) -> WebhookDelivery:
    """Send it a message of type `ping`, once. How that went is in `deliveries` of the webhook a moment later."""
    return service.ping(database, caller, sender, webhook_id)
