"""Every page, light and dark, on a desk and on a phone, under axe-core; and the main actions by keyboard alone."""

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

CSV = "a,b,kind\n" + "\n".join(f"{index * 7 % 11},{index * 5 % 13},{'dog' if index % 3 else 'cat'}" for index in range(60))
RUNS = "N,loss\n" + "".join(f"{10.0**power},{2 + 100 * 10 ** (-0.3 * power)}\n" for power in range(4, 10))
DRAWN = ".plot .main-svg"
FINDINGS = """
async (options) => (await axe.run({resultTypes: ["violations"], ...options})).violations
  .filter((found) => ["serious", "critical"].includes(found.impact))
  .map((found) => `${found.id}: ${found.nodes.slice(0, 5).map((node) => node.html.slice(0, 120)).join(" | ")}`)
"""

pytestmark = pytest.mark.timeout(240)


def findings(page: Page, axe: str) -> dict[str, list[str]]:
    """What axe-core finds serious or critical, with every fold open, by the look that has it.

    Colours do not depend on the width, nor anything but colours on the scheme: two looks are judged by every rule.
    """
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    page.evaluate(axe)
    found = {}
    colours = {"runOnly": ["color-contrast"]}
    for scheme, width, options in (
        ("light", 1280, {}),
        ("light", 375, colours),
        ("dark", 375, {}),
        ("dark", 1280, colours),
    ):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found[f"{scheme} {width}"] = page.evaluate(FINDINGS, options)
    return {look: problems for look, problems in found.items() if problems}


@pytest.fixture(scope="session")
def addresses(site: str, finished: str) -> dict[str, str]:
    """Name -> path of every page of a server that has something of everything."""
    plan = httpx.get(f"{site}/v1/jobs/{finished}").json()["plans"][0]
    dataset = httpx.post(f"{site}/v1/datasets", files={"file": ("animals.csv", CSV)}).json()["id"]
    httpx.post(f"{site}/v1/webhooks", json={"url": "https://hooks.example.com/windtunnel", "name": "chat"})
    fit = httpx.post(f"{site}/v1/laws/fits", content=RUNS, headers={"content-type": "text/csv"}).json()["id"]
    return {
        "jobs": "/",
        "job": f"/jobs/{finished}",
        "plan": f"/plans/{plan}",
        "datasets": "/datasets",
        "dataset": f"/datasets/{dataset}",
        "laws": "/laws",
        "fit": f"/laws/{fit}",
        "fleet": "/fleet",
        "account": "/sign-in",
        "webhooks": "/webhooks",
        "problem": "/jobs/nothing",
    }


@pytest.mark.parametrize(
    "name", ["jobs", "job", "plan", "datasets", "dataset", "laws", "fit", "fleet", "account", "webhooks", "problem"]
)
def test_no_page_has_a_serious_accessibility_problem(site, addresses, axe, open_page, name):
    page = open_page(site + addresses[name], expected=("status of 404",))
    if name in ("job", "plan", "laws", "fit"):
        expect(page.locator(DRAWN).first).to_be_visible()
    assert findings(page, axe) == {}


def test_a_form_with_mistakes_has_no_serious_accessibility_problem(idle, axe, open_page):
    page = open_page(idle, expected=("status of 422",))
    page.get_by_label("What to tune").fill('{"task": "digits", "model": {"widht": 1}}')
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("alert")).to_contain_text("did you mean 'width'?")
    assert findings(page, axe) == {}


def test_keys_are_made_and_revoked_by_keyboard_and_their_pages_have_no_serious_problem(keyed, axe, open_page):
    url, key = keyed
    page = open_page(f"{url}/keys", expected=("status of 401",))
    assert findings(page, axe) == {}
    page.get_by_label("API key").focus()
    page.keyboard.type("wt_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("There is no such key")
    page.get_by_label("API key").focus()
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="API keys")).to_be_visible()
    page.get_by_label("What it is for").focus()
    page.keyboard.type("laptop")
    page.keyboard.press("Enter")
    expect(page.locator("#made-key")).to_have_text(re.compile(r"^wt_[\w-]{43}$"))
    made = page.locator("#made-key").inner_text()
    assert httpx.get(f"{url}/v1/jobs", headers={"authorization": f"Bearer {made}"}).status_code == 200
    assert findings(page, axe) == {}
    page.get_by_role("button", name="Revoke the key").last.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Revoked")).to_be_visible()
    assert httpx.get(f"{url}/v1/jobs", headers={"authorization": f"Bearer {made}"}).status_code == 401


def focused(page: Page) -> str:
    return str(
        page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()")
    )


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element of that name has the focus, which must be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if focused(page) == name:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"nothing shows that {name} has the focus"
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_main_actions_are_done_by_keyboard_alone(idle, open_page):
    page = open_page(idle)
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to content"
    tab_to(page, "Estimate")
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "Start the job"
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/job_*")
    state = page.locator("#state .badge")
    for button, then in (("Pause", "paused"), ("Resume", "queued")):
        tab_to(page, button)
        page.keyboard.press("Enter")
        expect(state).to_have_text(then)
    tab_to(page, "Fork")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Start the fork")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="by hand")).to_be_visible()
    tab_to(page, "Cancel")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "Cancel the job"
    page.keyboard.press("Enter")
    expect(state).to_have_text("cancelled")
    tab_to(page, "Event log what happened, newest first")
    page.keyboard.press("Enter")
    expect(page.locator("#log")).to_contain_text("somebody asked for the job to stop")
