"""``webhooks``: have a server send the events of jobs to a URL, and test that they arrive."""

import time
from typing import Annotated, cast, get_args

import typer
from rich.console import RenderableType
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.exits import ExitCode
from windtunnel.cli.options import AsJson, Url
from windtunnel.client import Client
from windtunnel.types import WebhookDelivery, WebhookDetails, WebhookEventType

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="Id of a webhook, such as hook_01KAN...", show_default=False)]

POLL = 0.2
"""Seconds between two reads of a ping's delivery."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="webhooks", help="Send the end of a job, or its other events, to a URL of yours.")
    group.command("add")(add)
    group.command("list")(list_webhooks)
    group.command("show")(show)
    group.command("ping")(ping)
    group.command("remove")(remove)


def add(
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="URL to send to: http or https, at a public address.", show_default=False),
    ],
    *,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="EVENT",
            help="Event to send, such as job.failed. Can be repeated. Default: the three that end a job.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Purpose of the webhook.")] = "",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make a webhook and print the secret that signs its messages. The secret is shown only once.

    \b
    Examples:
      windtunnel webhooks add https://hooks.example.com/windtunnel
      windtunnel webhooks add https://hooks.example.com/ --event job.failed --event job.crashed
      export WEBHOOK_SECRET=$(windtunnel webhooks add https://hooks.example.com/)
    """
    # The server checks the events: an older one may know fewer.
    wanted = cast("list[WebhookEventType] | None", events or None)
    with Client(url) as client:
        made = client.webhooks.create(target, events=wanted, name=name)
    if as_json:
        output.print_json(made.model_dump(mode="json"))
        return
    typer.echo(made.secret)
    output.say(f"{made.id} sends {', '.join(made.events)}; keep the secret now, it cannot be shown again", style="dim")
    output.say(f"try it: windtunnel webhooks ping {made.id}", style="dim")


def list_webhooks(as_json: AsJson = False, url: Url = None) -> None:
    """List your webhooks, oldest first, without their secrets.

    \b
    Examples:
      windtunnel webhooks list
    """
    with Client(url) as client:
        found = client.webhooks.list()
    if as_json:
        output.print_json([each.model_dump(mode="json") for each in found])
        return
    if not found:
        output.say("no webhooks; make one: windtunnel webhooks add TARGET", style="dim")
        return
    rows = [(each.id, each.name, each.url, _events(each.events), f"{each.created_at:%Y-%m-%d %H:%M}") for each in found]
    output.show(output.table(("id", "name", "url", "events", "made (UTC)"), rows))


def show(webhook_id: WebhookId, as_json: AsJson = False, url: Url = None) -> None:
    """Show one webhook with its last deliveries and their outcomes.

    \b
    Examples:
      windtunnel webhooks show hook_01KAN...
      windtunnel webhooks show hook_01KAN... --json | jq '.deliveries[] | select(.state == "failed")'
    """
    with Client(url) as client:
        webhook = client.webhooks.get(webhook_id)
    if as_json:
        output.print_json(webhook.model_dump(mode="json"))
    else:
        output.show(*_parts(webhook))


def ping(
    webhook_id: WebhookId,
    *,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="Wait this long for the outcome.")
    ] = 30.0,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Send a test message and print its outcome. Exit code 1 if it was not delivered, 6 if that is not known in time.

    \b
    Examples:
      windtunnel webhooks ping hook_01KAN...
    """
    with Client(url) as client:
        delivery = client.webhooks.ping(webhook_id)
        end = time.monotonic() + timeout
        while delivery.state == "pending" and time.monotonic() < end:
            time.sleep(POLL)
            # On a busy webhook the ping may no longer be among the last deliveries.
            last = client.webhooks.get(webhook_id).deliveries
            delivery = next((each for each in last if each.id == delivery.id), delivery)
    if as_json:
        output.print_json(delivery.model_dump(mode="json"))
    else:
        output.say(f"{delivery.id}: {_how(delivery)}")
    match delivery.state:
        case "failed":
            raise typer.Exit(ExitCode.NEGATIVE)
        case "pending":
            raise typer.Exit(ExitCode.TIMEOUT)
        case "delivered":
            pass


def remove(webhook_id: WebhookId, as_json: AsJson = False, url: Url = None) -> None:
    """Delete a webhook; messages that were not sent yet are dropped.

    \b
    Examples:
      windtunnel webhooks remove hook_01KAN...
    """
    with Client(url) as client:
        client.webhooks.delete(webhook_id)
    if as_json:
        output.print_json({"id": webhook_id, "deleted": True})
    else:
        output.say(f"{webhook_id} is deleted")


def _events(events: list[WebhookEventType]) -> str:
    return "all" if len(events) == len(get_args(WebhookEventType)) else ", ".join(events)


def _how(delivery: WebhookDelivery) -> str:
    match delivery.state:
        case "delivered":
            return f"delivered, answered {delivery.status}"
        case "failed":
            return f"not delivered: {delivery.error}"
        case "pending":
            return f"waits for its next attempt; the last one: {delivery.error}" if delivery.error else "waits to be sent"


def _parts(webhook: WebhookDetails) -> list[RenderableType]:
    facts = [
        ("webhook", webhook.id),
        ("name", webhook.name),
        ("url", webhook.url),
        ("events", _events(webhook.events)),
        ("made", f"{webhook.created_at:%Y-%m-%d %H:%M} UTC"),
    ]
    rows = [
        (each.id, each.type, f"{each.created_at:%Y-%m-%d %H:%M:%S}", each.attempts, _how(each))
        for each in webhook.deliveries
    ]
    headings = ("message", "type", "since (UTC)", "attempts", "how it went")
    last = output.table(headings, rows, right=("attempts",)) if rows else Text("nothing was sent yet", style="dim")
    return [output.table(("", ""), facts), Text(), last]
