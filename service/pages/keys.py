"""The page of API keys: make one, which is shown once, list one's own, revoke one. It works without JavaScript."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from service.caller import Caller
from service.dependencies import CallerDependency, DatabaseDependency, KeyId
from service.keys import service
from service.pages.forms import FormDependency
from service.pages.signing_in import keep
from service.pages.site import Site, SiteDependency
from service.problems.answers import ProblemError, validated
from store.database import Database
from store.keys import MOST
from windtunnel.types import KeyRequest, NewApiKey, Problem

router = APIRouter(include_in_schema=False)


@router.get("/keys")
def keys_page(database: DatabaseDependency, caller: CallerDependency, site: SiteDependency) -> HTMLResponse:
    """The viewer's keys, and the form for another."""
    return _page(site, database, caller)


@router.post("/keys")
def create_page(
    request: Request, form: FormDependency, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> Response:
    """The form: the list with the key itself, this once. Who makes the server's first key stays signed in with it."""
    try:
        made = service.create(database, caller, validated(KeyRequest, {"name": form.get("name", "")}))
    except ProblemError as error:
        return _page(site, database, caller, typed=form.get("name", ""), problem=error.problem)
    answer = _page(site, database, caller, made=made)
    if caller.key_id is None:
        keep(answer, request, database, made.owner, made.id)
    return answer


@router.post("/keys/{key_id}/revoke")
def revoke_page(key_id: KeyId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency) -> Response:
    """Revoke a key and go back to the list, or to the form to sign in where it was the key of this request."""
    service.revoke(database, caller, key_id)
    return site.to("/sign-in" if key_id == caller.key_id else "/keys")


def _page(
    site: Site,
    database: Database,
    caller: Caller,
    *,
    made: NewApiKey | None = None,
    typed: str = "",
    problem: Problem | None = None,
) -> HTMLResponse:
    mine = service.listing(database, caller)
    return site.page(
        "keys.html",
        200 if problem is None else problem.status,
        keys=[key for key in mine if key.revoked_at is None],
        revoked=[key for key in mine if key.revoked_at is not None],
        viewer=caller,
        made=made,
        typed=typed,
        problem=problem,
        most=MOST,
    )
