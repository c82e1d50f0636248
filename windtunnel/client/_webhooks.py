"""``client.webhooks``: have a server send the events of jobs to a URL."""
# Written by tools/sync_client.py from _async/webhooks.py: change that one.

from collections.abc import Sequence

from windtunnel.client._answers import Items, parse
from windtunnel.client._requests import path
from windtunnel.client._transport import Transport
from windtunnel.types import NewWebhook, Webhook, WebhookDelivery, WebhookDetails
from windtunnel.types.webhooks import WebhookEventType


class Webhooks:
    """The caller's webhooks; ``windtunnel.webhooks`` verifies the messages that they send."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, url: str, *, events: Sequence[WebhookEventType] | None = None, name: str = "") -> NewWebhook:
        """Make a webhook that sends events of the caller's jobs to a URL.

        Its ``secret``, which signs the messages, is shown here and never again.

        Args:
            url: http or https URL at a public address.
            events: types of the events to send; by default the three that end a job.
            name: purpose of the webhook.

        Raises:
            ValidationFailed: the address or an event is not allowed.
            QuotaExceeded: the owner has as many webhooks as allowed.
        """
        wanted = {"url": url, "name": name} | ({} if events is None else {"events": list(events)})
        return parse(NewWebhook, self._transport.post_once(path("webhooks"), wanted))

    def list(self) -> list[Webhook]:
        """The caller's webhooks without their secrets, oldest first."""
        page = self._transport.read(Items[Webhook], path("webhooks"))
        return page.items

    def get(self, webhook_id: str) -> WebhookDetails:
        """The webhook with this id, with its last deliveries and their outcomes.

        Raises:
            NotFound: no such webhook.
        """
        return self._transport.read(WebhookDetails, path("webhooks", webhook_id))

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook; messages that were not sent yet are dropped.

        Raises:
            NotFound: no such webhook.
        """
        self._transport.delete(path("webhooks", webhook_id))

    def ping(self, webhook_id: str) -> WebhookDelivery:
        """Send the webhook a message of type ``ping``; a moment later ``get`` has its outcome.

        Raises:
            NotFound: no such webhook.
            TooManyAtOnce: as many test messages as allowed wait to be sent to this webhook.
        """
        return parse(WebhookDelivery, self._transport.post_once(path("webhooks", webhook_id, "ping"), {}))
