"""A real browser on the real server: with a worker that trains, and without one."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import keys
from store.database import Database
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
TINY = {
    "name": "finished flight",
    "task": "digits",
    "model": {"width": 8, "depth": 2},
    "inner": {"steps": 8, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 2, "finish_seeds": 2},
    "target": {"width": 16},
    "transfer": {"scaling": {"widths": [8, 16, 32, 64], "steps": [4, 16, 40, 100], "seeds": 1}},
}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium. Ends with its module: while it is there, its event loop runs, and no other could be started."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        missing = "chromium is not installed (apt-get install chromium)"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(f"{missing}; with CI set every service must be there")
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Callable[[str], Path]:
    """Makes data folders that hold a fresh database."""

    def make(name: str) -> Path:
        path = tmp_path_factory.mktemp(name)
        shutil.copy(sqlite_template, path / "windtunnel.db")
        return path

    return make


@pytest.fixture(scope="session")
def site(folder: Callable[[str], Path]) -> Iterator[str]:
    """URL of a server with one worker."""
    settings = WorkerSettings(data_dir=folder("site"), threads=1, poll=0.05, beat=0.5, lease_ttl=30)
    database = Database(settings.url)
    dispatcher = LocalDispatcher(database, settings)
    service = ServiceSettings(data_dir=settings.data_dir, event_poll=0.05)
    with background(create_app(service, database=database, dispatcher=dispatcher), deadline=60) as url:
        yield url
    database.dispose()


@pytest.fixture(scope="session")
def finished(site: str) -> str:
    """Id of a job that a real worker has finished, with its plan."""
    job_id: str = httpx.post(f"{site}/v1/jobs", json=TINY).json()["id"]
    with httpx.stream("GET", f"{site}/v1/jobs/{job_id}/events", timeout=120) as answer:
        assert "event: succeeded" in answer.iter_lines()
    return job_id


@pytest.fixture(scope="module")
def idle(folder: Callable[[str], Path]) -> Iterator[str]:
    """URL of a server whose jobs wait for ever."""
    with background(create_app(ServiceSettings(data_dir=folder("idle"), event_poll=0.05))) as url:
        yield url


@pytest.fixture
def keyed(folder: Callable[[str], Path]) -> Iterator[tuple[str, str]]:
    """URL of a server with one key, an operator's, and the key."""
    settings = ServiceSettings(data_dir=folder("keyed"))
    database = Database(settings.url)
    with database.transaction() as session:
        key = keys.create(session, "first", owner="ann", operator=1).key
    with background(create_app(settings, database=database)) as url:
        yield url, key
    database.dispose()


@pytest.fixture(scope="session")
def axe() -> str:
    """Source of axe-core, the accessibility checks."""
    if not AXE.exists():
        missing = "axe-core is not installed (make test installs it with npm)"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(f"{missing}; with CI set it must be there")
        pytest.skip(missing)
    return AXE.read_text()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages in contexts of their own; at the end, no page may have complained.

    ``expected`` are parts of complaints that the test provokes: browsers report every answer of 400 and above.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def watch(page: Page, expected: tuple[str, ...]) -> None:
        def say(message: str) -> None:
            if not any(part in message for part in expected):
                complaints.append(message)

        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                say(f"{message.type}: {message.text}")

        page.on("console", on_console)
        page.on("pageerror", lambda error: say(f"uncaught: {error}"))

    def make(url: str, *, expected: tuple[str, ...] = (), **options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        watch(page, expected)
        page.goto(url)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []
