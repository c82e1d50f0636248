"""``make screenshots``: makes the documentation's pictures of the status page, from a real server with real jobs.

A server with one worker starts on a folder of its own; one job runs to its end, another half way, a data set is uploaded, a
table of runs is fitted, a key is made. A screenshot of each page then goes to docs/images/.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.rendering import QUIET
from service.app import create_app
from service.pages.submitting import example_text
from service.serve import background
from service.settings import ServiceSettings
from store import schema
from store.database import Database
from windtunnel.types import JobSpec
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

IMAGES = Path(__file__).parent.parent / "docs" / "images"
PATIENCE = 600.0
WATCHED_STEPS = 5
CSV = "petal,sepal,kind\n" + "".join(
    f"{index * 7 % 11 / 2},{index * 5 % 13 / 3:.2f},{'setosa' if index % 3 else 'virginica'}\n" for index in range(150)
)
SIZES, TOKENS = (1e6, 1e7, 1e8, 1e9), (1e8, 1e9, 1e10, 1e11)
RUNS = "N,D,loss\n" + "".join(f"{n},{d},{1.8 + 482 / n**0.35 + 2085 / d**0.37}\n" for n in SIZES for d in TOKENS)
MISTAKE = '{\n  "task": "digits",\n  "model": {"widht": 128},\n  "outer": {"steps": 0}\n}'


@dataclass(frozen=True)
class Shot:
    """One screenshot."""

    name: str
    page: str
    """Key of the page in the dictionary of addresses."""
    theme: Literal["light", "dark"] = "light"
    width: int = 1180
    height: int = 1000
    unfold: str = ""
    """Title of the section to unfold."""
    top: str = ""
    """Selector of the element at the top of the picture."""


SHOTS = (
    Shot("page-jobs", "jobs", height=1340),
    Shot("page-mistake", "mistake", top="#new", height=1140),
    Shot("page-job", "job", height=1500),
    Shot("page-job-dark", "running", "dark", height=1300),
    Shot("page-phone", "running", width=375, height=900),
    Shot("page-sensitivity", "running", top="#figure-sensitivity", height=820),
    Shot("page-fork", "job", unfold="Fork", top="details:has(#fork)", height=340),
    Shot("page-compare", "compare", height=1500),
    Shot("page-plan", "plan", height=1300),
    Shot("page-ladder", "plan", top="#figure-ladder", height=760),
    Shot("page-datasets", "datasets", height=860),
    Shot("page-laws", "laws", height=1100),
    Shot("page-law-fit", "fit", height=1000),
    Shot("page-fleet", "fleet", height=560),
    Shot("page-keys", "keys", height=800),
)
"""Screenshots in the order in which they are taken: the last page makes the server's first key."""


def main() -> None:
    """Take every screenshot."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("taking pictures needs chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        for url in served(Path(folder)):
            addresses = furnished(url)
            for shot in SHOTS:
                take(browser, url, addresses, shot)
        browser.close()


def served(folder: Path) -> Iterator[str]:
    """Context with the URL of a server with one worker."""
    settings = WorkerSettings(data_dir=folder, threads=1, poll=0.05)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    dispatcher = LocalDispatcher(database, settings)
    with background(create_app(ServiceSettings(data_dir=folder), database=database, dispatcher=dispatcher)) as url:
        yield url
    database.dispose()


def furnished(url: str) -> dict[str, str]:
    """Fill the server with jobs and data, and return key -> path of each page."""
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        dataset = client.post("/v1/datasets", files={"file": ("flowers.csv", CSV)}).json()["id"]
        fit = client.post("/v1/laws/fits", content=RUNS, headers={"content-type": "text/csv"}).json()["id"]
        asked = JobSpec.model_validate_json(example_text()).model_dump(mode="json", exclude_defaults=True)
        finished = submitted(client, asked | {"transfer": {"ladder": {"widths": [32, 64, 128]}}})
        print(f"tuning {finished}")
        followed(client, finished, "succeeded", 1)
        other = submitted(client, asked | {"name": "twice as deep", "model": {"width": 64, "depth": 4}, "target": None})
        followed(client, other, "succeeded", 1)
        running = submitted(client, {"name": "long haul", "task": "digits", "outer": {"steps": 40}})
        submitted(client, {"name": "flowers at night", "task": dataset})
        paused = submitted(client, {"name": "paused for lunch", "task": "breast-cancer"})
        client.post(f"/v1/jobs/{paused}/pause")
        followed(client, running, "outer_step", WATCHED_STEPS)
        plan = client.get(f"/v1/jobs/{finished}").json()["plans"][0]
    return {
        "jobs": "/",
        "mistake": "/#new",
        "job": f"/jobs/{finished}",
        "running": f"/jobs/{running}",
        "compare": f"/compare?job={finished}&job={other}",
        "plan": f"/plans/{plan}",
        "datasets": "/datasets",
        "laws": "/laws",
        "fit": f"/laws/{fit}",
        "fleet": "/fleet",
        "keys": "/keys",
    }


def submitted(client: httpx.Client, spec: dict[str, object]) -> str:
    """Submit a job and return its id."""
    answer = client.post("/v1/jobs", json=spec)
    answer.raise_for_status()
    return str(answer.json()["id"])


def followed(client: httpx.Client, job_id: str, event: str, times: int) -> None:
    """Wait until the job has logged ``times`` events of the type.

    Raises:
        RuntimeError: the job ended before.
    """
    left = times
    with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        for line in answer.iter_lines():
            left -= line == f"event: {event}"
            if left == 0:
                return
    raise RuntimeError(f"{job_id} ended before it had {times} events of type {event}")


def take(browser: Browser, url: str, addresses: dict[str, str], shot: Shot) -> None:
    """Take one screenshot, cut at the shot's height."""
    size = ViewportSize(width=shot.width, height=shot.height)
    context = browser.new_context(viewport=size, color_scheme=shot.theme)
    page = context.new_page()
    page.goto(url + addresses[shot.page])
    prepare(page, shot)
    settle(page)
    if shot.top:
        page.locator(shot.top).evaluate("element => element.scrollIntoView()")
    page.screenshot(path=IMAGES / f"{shot.name}.png")
    context.close()
    print(f"docs/images/{shot.name}.png")


def prepare(page: Page, shot: Shot) -> None:
    """Prepare the page for its screenshot: unfold a section, or fill and send a form."""
    if shot.unfold:
        page.locator("summary").filter(has_text=shot.unfold).click()
    if shot.page == "mistake":
        page.get_by_label("What to tune").fill(MISTAKE)
        page.get_by_role("button", name="Start the job").click()
        page.get_by_role("alert").wait_for()
    if shot.page == "keys":
        page.get_by_label("What it is for").fill("laptop")
        page.get_by_role("button", name="Make a key").click()
        page.locator("#made-key").wait_for()


def settle(page: Page) -> None:
    """Wait until the figures are drawn: the page has not changed for half a second."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < 0.5:
        height = page.evaluate("document.documentElement.scrollHeight + document.querySelectorAll('.main-svg').length")
        if height != before:
            before, since = height, time.monotonic()
        page.wait_for_timeout(100)


if __name__ == "__main__":
    main()
