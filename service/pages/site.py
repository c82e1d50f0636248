"""The site as the browser of one request sees it: renders pages whose links begin with its path, and leads to others."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse

from service.pages.rendering import ENVIRONMENT
from service.proxying import address


@dataclass(frozen=True)
class Site:
    """Pages of the server for one request. Every address in a page or a redirect is made here or begins with ``root``."""

    root: str
    """Path of the site at its proxy, such as ``/tunnel``; empty without one."""
    url: str
    """Address of the site with scheme and host, without a slash at its end."""

    def page(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A page. Never cached: it shows where things stand."""
        body = ENVIRONMENT.get_template(template).render(root=self.root, **context)
        return HTMLResponse(body, status, headers={"cache-control": "no-store"})

    def to(self, path: str) -> RedirectResponse:
        """A redirect to another page, after a form."""
        return RedirectResponse(f"{self.root}{path}", 303)


def site_of(request: Request) -> Site:
    """The site of a request."""
    return Site(address(request, ""), str(request.base_url).rstrip("/"))


SiteDependency = Annotated[Site, Depends(site_of)]
"""The site of the request."""
