"""Signing in to the status page with an API key, and out again. The forms work without JavaScript.

The browser keeps the id of a session, not the key: it expires, ends when its user signs out, and ends with the key.
"""

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from service.caller import ANYBODY, COOKIE, cookie_of, holder, needs_keys, signed_in
from service.dependencies import DatabaseDependency
from service.pages.forms import FormDependency
from service.pages.site import SiteDependency, site_of
from service.proxying import address, route_of
from store import sessions
from store.database import Database

router = APIRouter(include_in_schema=False)

LONGEST_KEY = 200
LONGEST_PATH = 2000
"""Characters of the path that a sign-in leads back to."""


@router.get("/sign-in")
def show_account(request: Request, database: DatabaseDependency, site: SiteDependency) -> HTMLResponse:
    """The account that is signed in, with the way out; else the form."""
    caller = signed_in(request, database)
    if caller is None and not needs_keys(request.app.state, database):
        caller = ANYBODY
    return sign_in_page(request, 200) if caller is None else site.page("account.html", caller=caller)


@router.post("/sign-in")
def sign_in(request: Request, form: FormDependency, database: DatabaseDependency, site: SiteDependency) -> Response:
    """Begin a session, whose id is kept in a cookie that no script can read and no other site can send."""
    key, back = form.get("key", "").strip()[:LONGEST_KEY], _own_path(form.get("next", ""))
    caller = holder(request.app.state, database, key)
    if caller is None or caller.key_id is None:
        return sign_in_page(request, 401, wrong=True, back=back)
    answer = site.to(back)
    keep(answer, request, database, caller.owner, caller.key_id)
    return answer


def keep(answer: Response, request: Request, database: Database, owner: str, key_id: str) -> None:
    """Sign the browser in: it keeps the id of a session that stands for this key of the owner. Raises KeyNotFound."""
    seconds = round(3600 * request.app.state.settings.session_hours)
    with database.transaction() as session:
        if before := cookie_of(request):
            sessions.end(session, before)
        session_id = sessions.begin(session, key_id, owner=owner, seconds=seconds)
    secure = request.url.scheme == "https"
    path = address(request, "") or "/"  # what else is served under this host does not get the session
    answer.set_cookie(COOKIE, session_id, max_age=seconds, path=path, httponly=True, samesite="strict", secure=secure)


@router.post("/sign-out")
def sign_out(request: Request, database: DatabaseDependency, site: SiteDependency) -> Response:
    """End the session, on the server too: a copy of the cookie is worth nothing any more."""
    session_id = cookie_of(request)
    if session_id is not None:
        with database.transaction() as session:
            sessions.end(session, session_id)
    answer = site.to("/sign-in")
    answer.delete_cookie(COOKIE, path=site.root or "/", httponly=True, samesite="strict")
    return answer


def sign_in_page(request: Request, status: int, *, wrong: bool = False, back: str | None = None) -> HTMLResponse:
    """The form, which leads back to the page that was asked for."""
    site, route = site_of(request), route_of(request.scope)
    here = route + (f"?{request.url.query}" if request.url.query else "")
    wanted = back or ("/" if request.method != "GET" or route == "/sign-in" else here)
    return site.page("sign_in.html", status, back=wanted, wrong=wrong)


def _own_path(given: str) -> str:
    """A path of this server, without its prefix; the first page where it is none."""
    plain = given.startswith("/") and given.isprintable() and "\\" not in given and given.isascii()
    if not plain or len(given) > LONGEST_PATH or given.startswith("//"):
        return "/"
    try:
        return "/" if urlsplit(given).netloc else given
    except ValueError:
        return "/"
