"""Many tabs of one browser: all of them stay current, and the site goes on answering, on a browser's six connections."""

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

TABS = 8

pytestmark = pytest.mark.timeout(240)


def test_eight_tabs_with_live_jobs_stay_current_and_the_site_answers(idle: str, open_page: Callable[..., Page]) -> None:
    jobs = [httpx.post(f"{idle}/v1/jobs", json={"task": "digits", "name": f"job {n}"}).json()["id"] for n in range(TABS)]
    first = open_page(f"{idle}/jobs/{jobs[0]}")
    tabs = [first]
    for job in jobs[1:]:
        tabs.append(first.context.new_page())
        tabs[-1].goto(f"{idle}/jobs/{job}", timeout=10_000)
    for tab in tabs:
        expect(tab.locator("#state .badge")).to_have_text("queued")
    for job in jobs:
        httpx.post(f"{idle}/v1/jobs/{job}/pause")
    for tab in tabs:
        expect(tab.locator("#state .badge")).to_have_text("paused", timeout=10_000)
    # One more page, and one that goes on to another, while the others stay open.
    another = first.context.new_page()
    another.goto(idle, timeout=10_000)
    expect(another.get_by_role("link", name="job 3")).to_be_visible()
    tabs[-1].goto(f"{idle}/fleet", timeout=10_000)
    httpx.post(f"{idle}/v1/jobs/{jobs[0]}/cancel")
    expect(first.locator("#state .badge")).to_have_text("cancelled", timeout=10_000)


def test_a_tab_that_comes_back_from_the_history_is_current(idle: str, open_page: Callable[..., Page]) -> None:
    job = httpx.post(f"{idle}/v1/jobs", json={"task": "digits"}).json()["id"]
    page = open_page(f"{idle}/jobs/{job}")
    expect(page.locator("#state .badge")).to_have_text("queued")
    page.goto(f"{idle}/fleet")
    httpx.post(f"{idle}/v1/jobs/{job}/pause")
    page.go_back()
    expect(page.locator("#state .badge")).to_have_text("paused", timeout=10_000)
    httpx.post(f"{idle}/v1/jobs/{job}/resume")
    expect(page.locator("#state .badge")).to_have_text("queued", timeout=10_000)


def test_a_browser_without_shared_workers_is_current_too(idle: str, open_page: Callable[..., Page]) -> None:
    job = httpx.post(f"{idle}/v1/jobs", json={"task": "digits"}).json()["id"]
    page = open_page(idle)
    page.context.add_init_script("delete window.SharedWorker")
    page.goto(f"{idle}/jobs/{job}")
    expect(page.locator("#state .badge")).to_have_text("queued")
    httpx.post(f"{idle}/v1/jobs/{job}/pause")
    expect(page.locator("#state .badge")).to_have_text("paused", timeout=10_000)
