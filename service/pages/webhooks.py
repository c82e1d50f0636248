"""The page of webhooks: make one, whose secret is shown once, list, test and delete one's own. No JavaScript is needed."""

from typing import get_args

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from service.caller import Caller
from service.dependencies import CallerDependency, DatabaseDependency, SettingsDependency, WebhookId
from service.pages.forms import FormDependency
from service.pages.site import Site, SiteDependency
from service.problems.answers import ProblemError, validated
from service.webhooks import service
from store.database import Database
from windtunnel.types import NewWebhook, Problem, WebhookRequest
from windtunnel.types.webhooks import WebhookEventType

EVENTS: tuple[WebhookEventType, ...] = get_args(WebhookEventType)
EVENT = "event."
"""Beginning of the names of the form's fields for events."""

router = APIRouter(include_in_schema=False)


@router.get("/webhooks")
def webhooks_page(database: DatabaseDependency, caller: CallerDependency, site: SiteDependency) -> HTMLResponse:
    """The viewer's webhooks, and the form for another."""
    return _page(site, database, caller, {})


@router.post("/webhooks")
def create_page(
    form: FormDependency,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The form: the list with the secret, this once; or the form with what is wrong."""
    wanted = {name: form[name] for name in ("url", "name") if name in form}
    events = [event for event in EVENTS if EVENT + event in form]
    try:
        made = service.create(database, settings, caller, validated(WebhookRequest, {**wanted, "events": events}))
    except ProblemError as error:
        return _page(site, database, caller, form, problem=error.problem)
    return _page(site, database, caller, {}, made=made)


@router.post("/webhooks/{webhook_id}/ping")
def ping_page(
    webhook_id: WebhookId, request: Request, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> Response:
    """The button: send a test message, and back to the list, which tells how it went."""
    service.ping(database, caller, request.app.state.sender, webhook_id)
    return site.to("/webhooks")


@router.post("/webhooks/{webhook_id}/delete")
def delete_page(
    webhook_id: WebhookId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> Response:
    """The button: back to the list."""
    service.delete(database, caller, webhook_id)
    return site.to("/webhooks")


def _page(
    site: Site,
    database: Database,
    caller: Caller,
    typed: dict[str, str],
    *,
    made: NewWebhook | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    chosen = (
        {event for event in EVENTS if EVENT + event in typed} if typed else WebhookRequest.model_fields["events"].default
    )
    return site.page(
        "webhooks.html",
        200 if problem is None else problem.status,
        hooks=[service.get(database, caller, hook.id) for hook in service.listing(database, caller)],
        events=[(event, EVENT + event, event in chosen) for event in EVENTS],
        anchors={"/name": "hook-name", "/events": f"hook-{EVENTS[0]}"},
        made=made,
        typed=typed,
        problem=problem,
        wrong={error.pointer.split("/")[1] for error in problem.errors if error.pointer} if problem else set(),
    )
