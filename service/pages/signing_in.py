"""Signing in to the status page with an API key, and out again. The forms work without JavaScript.

The browser keeps the id of a session, not the key: it expires, ends when its user signs out, and ends with the key.
"""

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from service.caller import ANYBODY, COOKIE, holder, needs_keys, signed_in
from service.dependencies import DatabaseDependency
from service.pages.forms import FormDependency
from service.pages.rendering import render
from store import sessions
from store.database import Database

router = APIRouter(include_in_schema=False)

LONGEST_KEY = 200
LONGEST_PATH = 2000
"""Characters of the path that a sign-in leads back to."""


@router.get("/sign-in")
def show_account(request: Request, database: DatabaseDependency) -> HTMLResponse:
    """The account that is signed in, with the way out; else the form."""
    caller = signed_in(request, database)
    if caller is None and not needs_keys(request.app.state, database):
        caller = ANYBODY
    return sign_in_page(request, 200) if caller is None else render("account.html", caller=caller)


@router.post("/sign-in")
def sign_in(request: Request, form: FormDependency, database: DatabaseDependency) -> Response:
    """Begin a session, whose id is kept in a cookie that no script can read and no other site can send."""
    key, back = form.get("key", "").strip()[:LONGEST_KEY], _own_path(form.get("next", "/"))
    caller = holder(request.app.state, database, key)
    if caller is None or caller.key_id is None:
        return sign_in_page(request, 401, wrong=True, back=back)
    answer = RedirectResponse(back, 303)
    keep(answer, request, database, caller.owner, caller.key_id)
    return answer


def keep(answer: Response, request: Request, database: Database, owner: str, key_id: str) -> None:
    """Sign the browser in: it keeps the id of a session that stands for this key of the owner. Raises KeyNotFound."""
    seconds = round(3600 * request.app.state.settings.session_hours)
    with database.transaction() as session:
        if before := request.cookies.get(COOKIE):
            sessions.end(session, before)
        session_id = sessions.begin(session, key_id, owner=owner, seconds=seconds)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session_id, max_age=seconds, httponly=True, samesite="strict", secure=secure)


@router.post("/sign-out")
def sign_out(request: Request, database: DatabaseDependency) -> Response:
    """End the session, on the server too: a copy of the cookie is worth nothing any more."""
    session_id = request.cookies.get(COOKIE)
    if session_id is not None:
        with database.transaction() as session:
            sessions.end(session, session_id)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def sign_in_page(request: Request, status: int, *, wrong: bool = False, back: str | None = None) -> HTMLResponse:
    """The form, which leads back to the page that was asked for."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = back or ("/" if request.method != "GET" or request.url.path == "/sign-in" else here)
    return render("sign_in.html", status, back=wanted, wrong=wrong)


def _own_path(given: str) -> str:
    """A path of this server; the first page where it is none."""
    plain = given.startswith("/") and given.isprintable() and "\\" not in given and given.isascii()
    if not plain or len(given) > LONGEST_PATH or given.startswith("//"):
        return "/"
    try:
        return "/" if urlsplit(given).netloc else given
    except ValueError:
        return "/"
