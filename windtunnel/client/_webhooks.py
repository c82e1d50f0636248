"""``client.webhooks``: have a server tell a URL how jobs go on."""
# Written by tools/sync_client.py from _async/webhooks.py: change that one.

from collections.abc import Sequence

from windtunnel.client._answers import Items, parse
from windtunnel.client._requests import path
from windtunnel.client._transport import Transport
from windtunnel.types import NewWebhook, Webhook, WebhookDelivery, WebhookDetails
from windtunnel.types.webhooks import WebhookEventType


class Webhooks:
    """Your webhooks. What they send is verified with ``windtunnel.webhooks``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, url: str, *, events: Sequence[WebhookEventType] | None = None, name: str = "") -> NewWebhook:
        """Have events of your jobs sent to a URL. The ``secret`` that signs them is told here and never again.

        Args:
            url: http or https, at a public address.
            events: which; by default the three ends of a job.
            name: what it is for.

        Raises:
            ValidationFailed: the address or an event is not allowed.
            QuotaExceeded: there are as many webhooks as one owner may have.
        """
        wanted = {"url": url, "name": name} | ({} if events is None else {"events": list(events)})
        return parse(NewWebhook, self._transport.post_once(path("webhooks"), wanted))

    def list(self) -> list[Webhook]:
        """Your webhooks without their secrets, oldest first."""
        page = self._transport.read(Items[Webhook], path("webhooks"))
        return page.items

    def get(self, webhook_id: str) -> WebhookDetails:
        """One webhook, with its last deliveries and how they went.

        Raises:
            NotFound: no such webhook.
        """
        return self._transport.read(WebhookDetails, path("webhooks", webhook_id))

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook; what has not been sent is sent no more.

        Raises:
            NotFound: no such webhook.
        """
        self._transport.delete(path("webhooks", webhook_id))

    def ping(self, webhook_id: str) -> WebhookDelivery:
        """Send it a message of type ``ping``; how that went is told by ``get`` a moment later.

        Raises:
            NotFound: no such webhook.
        """
        return parse(WebhookDelivery, self._transport.post_once(path("webhooks", webhook_id, "ping"), {}))
