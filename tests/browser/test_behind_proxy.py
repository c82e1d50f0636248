"""The status page in a real browser behind a real nginx: nothing is asked for outside of its path, nothing is missing."""

import json
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Page, Response, expect

SPEC = {
    "name": "behind a proxy",
    "task": "digits",
    "model": {"width": 8, "depth": 2},
    "inner": {"steps": 12, "batch_size": 16, "seeds": 2},
    "outer": {"steps": 2, "finish_seeds": 2},
    "target": {"width": 16},
}
PATIENCE = 120_000


def watch(page: Page) -> list[Response]:
    """The answers that the page gets from now on."""
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - playwright reads its parameters
    return answers


def paths(answers: list[Response]) -> set[str]:
    """Paths that were asked for, all of which were there."""
    assert [(answer.url, answer.status) for answer in answers if answer.status >= 400] == []
    return {urlsplit(answer.url).path for answer in answers}


def test_a_job_is_submitted_watched_and_planned_under_a_path(site, nginx, open_page):
    base = nginx(site)
    page = open_page("about:blank")
    answers = watch(page)
    page.goto(f"{base}/tunnel/")
    page.get_by_label("What to tune").fill(json.dumps(SPEC))
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url(f"{base}/tunnel/jobs/job_*")
    page.evaluate("window.sameDocument = true")
    expect(page.locator("#state .badge")).to_have_text("succeeded", timeout=PATIENCE)
    assert page.evaluate("window.sameDocument"), "the page was loaded again: it did not follow the job live"
    expect(page.locator("#figure-loss .plot .main-svg").first).to_be_visible()
    expect(page.locator("#progress")).to_contain_text("fresh seeds")
    for link in page.locator("a[href]").evaluate_all("links => links.map(link => link.getAttribute('href'))"):
        if not link.startswith("#"):
            answer = page.request.get(urljoin(page.url, link))
            assert answer.ok and urlsplit(answer.url).path.startswith("/tunnel/"), link
    page.locator("#plans a").first.click()
    page.wait_for_url(f"{base}/tunnel/plans/plan_*")
    expect(page.locator("#figure-coordinate_check .main-svg").first).to_be_visible()
    asked = paths(answers)
    assert all(path.startswith("/tunnel/") for path in asked), asked
    assert any("/figures/" in path for path in asked)


def test_signing_in_and_out_over_tls_with_the_proxys_own_host(keyed, nginx, open_page):
    url, key = keyed
    base = nginx(url, tls=True)
    page = open_page("about:blank", expected=("status of 401",), ignore_https_errors=True)
    page.goto(f"{base}/bare/keys")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{base}/bare/keys")
    answers = watch(page)
    page.get_by_label("What it is for").fill("laptop")
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_role("heading", name="Key “laptop” is made")).to_be_visible()
    (cookie,) = page.context.cookies()
    assert (cookie["path"], cookie["secure"], cookie["httpOnly"]) == ("/bare", True, True)
    page.get_by_role("link", name="Account").click()
    assert all(path.startswith("/bare/") for path in paths(answers))
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{base}/bare/sign-in")
    assert page.context.cookies() == []
