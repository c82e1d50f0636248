"""Signing in to the status page with an API key, and out again. The forms work without JavaScript."""

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from service.caller import ANYBODY, COOKIE, holder, needs_keys
from service.dependencies import DatabaseDependency
from service.pages.forms import FormDependency
from service.pages.rendering import render

router = APIRouter(include_in_schema=False)

LONGEST_KEY = 200
LONGEST_PATH = 2000
"""Characters of the path that a sign-in leads back to."""
KEPT = 30 * 86_400
"""Seconds that a browser keeps the key."""


@router.get("/sign-in")
def show_account(request: Request, database: DatabaseDependency) -> HTMLResponse:
    """The account that is signed in, with the way out; else the form."""
    key = request.cookies.get(COOKIE)
    caller = holder(database, key) if key else None
    if caller is None and not needs_keys(request.app.state, database):
        caller = ANYBODY
    return sign_in_page(request, 200) if caller is None else render("account.html", caller=caller)


@router.post("/sign-in")
async def sign_in(request: Request, form: FormDependency, database: DatabaseDependency) -> Response:
    """Keep the key in a cookie that no script can read and no other site can send."""
    key, back = form.get("key", "").strip()[:LONGEST_KEY], _own_path(form.get("next", "/"))
    if await run_in_threadpool(holder, database, key) is None:
        return sign_in_page(request, 401, wrong=True, back=back)
    answer = RedirectResponse(back, 303)
    keep(answer, request, key)
    return answer


def keep(answer: Response, request: Request, key: str) -> None:
    """Sign the browser in: it keeps the key."""
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, key, max_age=KEPT, httponly=True, samesite="strict", secure=secure)


@router.post("/sign-out")
def sign_out() -> Response:
    """Forget the key."""
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
