"""Files of the page: our own styles and scripts, and plotly's JavaScript from plotly's own package."""

import hashlib
from functools import cache
from pathlib import Path

import plotly
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

STATIC = Path(__file__).parent.parent / "static"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
FOREVER = "public, max-age=31536000, immutable"
"""Cache-Control of addresses that carry the content's digest: a change of the file is a change of the address."""

MEDIA = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


@cache
def _files() -> dict[str, Path]:
    return {path.name: path for path in STATIC.iterdir() if path.suffix in MEDIA} | {PLOTLY.name: PLOTLY}


@cache
def asset(name: str) -> str:
    """Address of a file of the page, which changes with its content."""
    return f"/static/{name}?v={hashlib.sha256(_files()[name].read_bytes()).hexdigest()[:12]}"


@router.get("/static/{name}")
def static_file(name: str) -> FileResponse:
    """A file of the page."""
    path = _files().get(name)
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, media_type=MEDIA[path.suffix], headers={"cache-control": FOREVER})


@router.get("/favicon.ico")
def favicon() -> FileResponse:
    """The icon that browsers ask for by themselves."""
    return FileResponse(STATIC / "favicon.svg", media_type=MEDIA[".svg"], headers={"cache-control": "max-age=86400"})
