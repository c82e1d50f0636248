"""Signing in to the status page with an API key, and out again. The forms work without JavaScript."""

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from service.caller import ANYBODY, COOKIE, holder, needs_keys
from service.dependencies import DatabaseDependency
from service.pages.forms import FormDependency
from service.pages.site import SiteDependency, site_of
from service.proxying import address, route_of

router = APIRouter(include_in_schema=False)

LONGEST_KEY = 200
KEPT = 30 * 86_400
"""Seconds that a browser keeps the key."""


@router.get("/sign-in")
def show_account(request: Request, database: DatabaseDependency, site: SiteDependency) -> HTMLResponse:
    """The account that is signed in, with the way out; else the form."""
    key = request.cookies.get(COOKIE)
    caller = holder(database, key) if key else None
    if caller is None and not needs_keys(request.app.state, database):
        caller = ANYBODY
    return sign_in_page(request, 200) if caller is None else site.page("account.html", caller=caller)


@router.post("/sign-in")
async def sign_in(request: Request, form: FormDependency, database: DatabaseDependency, site: SiteDependency) -> Response:
    """Keep the key in a cookie that no script can read and no other site can send."""
    key, back = form.get("key", "").strip()[:LONGEST_KEY], _own_path(form.get("next", ""))
    if await run_in_threadpool(holder, database, key) is None:
        return sign_in_page(request, 401, wrong=True, back=back)
    answer = site.to(back)
    keep(answer, request, key)
    return answer


def keep(answer: Response, request: Request, key: str) -> None:
    """Sign the browser in: it keeps the key."""
    secure = request.url.scheme == "https"
    path = address(request, "") or "/"  # what else is served under this host does not get the key
    answer.set_cookie(COOKIE, key, max_age=KEPT, path=path, httponly=True, samesite="strict", secure=secure)


@router.post("/sign-out")
def sign_out(site: SiteDependency) -> Response:
    """Forget the key."""
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
    return given if plain and not given.startswith("//") and not urlsplit(given).netloc else "/"
