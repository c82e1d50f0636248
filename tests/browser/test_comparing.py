"""Jobs are ticked in the list and compared; figures and tables are saved; it reads without JavaScript and on a phone."""

import csv
import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TINY
from tests.browser.test_accessibility import findings

DRAWN = ".plot .main-svg"
LONG = "a flight whose name says everything there is to say about it, and then goes on to say it again in other words"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="session")
def ids(site: str, finished: str) -> tuple[str, str]:
    """Ids of two finished jobs, of which one has a long name."""
    with httpx.Client(base_url=site, timeout=120) as client:
        fields = {name: value for name, value in TINY.items() if name not in ("transfer", "target")}
        other = client.post("/v1/jobs", json={**fields, "name": LONG, "seed": 3}).json()["id"]
        with client.stream("GET", f"/v1/jobs/{other}/events") as answer:
            assert "event: succeeded" in answer.iter_lines()
    return finished, other


def address(site: str, ids: tuple[str, str]) -> str:
    return f"{site}/compare?{'&'.join(f'job={each}' for each in ids)}"


def tick(page: Page, ids: tuple[str, str]) -> None:
    for each in ids:
        page.locator(f'input[value="{each}"]').check()


def test_jobs_are_ticked_in_the_list_and_stay_ticked_while_it_follows(site, ids, open_page):
    page = open_page(site)
    tick(page, ids)
    page.locator("h1").click()  # nobody is typing: the list may change
    queued = httpx.post(f"{site}/v1/jobs", json={"task": "digits", "name": "newcomer", "outer": {"steps": 500}}).json()[
        "id"
    ]
    try:
        expect(page.get_by_role("link", name="newcomer")).to_be_visible(timeout=15_000)
        page.get_by_role("button", name="Compare").click()
    finally:
        httpx.post(f"{site}/v1/jobs/{queued}/cancel")
    page.wait_for_url("**/compare?*")
    expect(page.get_by_role("heading", name="Compare jobs")).to_be_visible()
    expect(page.locator(".chosen li")).to_have_count(2)
    expect(page.get_by_role("row").filter(has=page.get_by_text("seed", exact=True))).to_contain_text("3")
    for name in ("curves", "points"):
        expect(page.locator(f"#figure-{name} {DRAWN}").first).to_be_visible()
    page.get_by_role("link", name="remove finished flight").click()
    expect(page.locator(".chosen li")).to_have_count(1)


def test_figures_are_saved_as_pictures_and_tables_as_csv(site, ids, open_page):
    page = open_page(address(site, ids), color_scheme="dark")
    expect(page.locator(f"#figure-curves {DRAWN}").first).to_be_visible()
    beginnings = {"PNG": b"\x89PNG", "SVG": b"<svg"}
    for kind, begins in beginnings.items():
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Loss over cost as {kind}").click()
        assert download.value.suggested_filename == f"figure-curves.{kind.lower()}"
        assert download.value.path().read_bytes().startswith(begins)
    with page.expect_download() as download:
        page.locator("section[aria-labelledby=results]").get_by_role("link", name="CSV").click()
    with download.value.path().open() as text:
        rows = {row[0]: row[1:] for row in csv.reader(text)}
    assert rows["name"] == list(ids) and all(float(value) > 0 for value in rows["test loss"])


def test_without_javascript_and_on_a_phone_it_reads_the_same(site, ids, open_page):
    page = open_page(site, java_script_enabled=False, viewport={"width": 360, "height": 800})
    tick(page, ids)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("region", name="Results")).to_contain_text("learning_rate.hidden")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("link", name="Choose others").click()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("No job is chosen")).to_be_visible()


def test_a_job_is_named_and_tagged_and_the_list_put_in_order_on_a_phone_and_by_keyboard(site, ids, axe, open_page):
    page = open_page(f"{site}/jobs/{ids[0]}")
    page.get_by_text("Name, tags, notes").click()
    page.get_by_label("Tags").fill("Paper, figure-2")
    page.get_by_label("Notes").fill("the <b>best</b> so far\n" + 50 * "long")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#labelled")).to_contain_text("the <b>best</b> so far")
    assert findings(page, axe) == {}
    page.get_by_role("link", name="paper").click()
    expect(page.locator("#jobs .name")).to_have_count(1)
    expect(page.locator("#counts")).to_contain_text("1 job")
    page.set_viewport_size({"width": 360, "height": 800})
    page.get_by_role("link", name="all tags").click()
    page.get_by_label("Order").select_option("cost")
    page.get_by_role("button", name="Filter").click()
    costs = [float(text) for text in page.locator("td[data-label='Cost, runs']").all_inner_texts()]
    assert len(costs) >= 2 and costs == sorted(costs)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("link", name="Cost, runs").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Cost, runs")).to_have_attribute("aria-sort", "descending")


def test_it_has_no_serious_accessibility_problem(site, ids, axe, open_page):
    page = open_page(address(site, ids))
    expect(page.locator(f"#figure-points {DRAWN}").first).to_be_visible()
    assert findings(page, axe) == {}


def test_a_long_name_is_cut_and_no_page_is_wider_than_a_phone(site, ids, axe, open_page):
    page = open_page(site, viewport={"width": 360, "height": 800})
    name = page.get_by_role("link", name=re.compile("a flight whose name"))
    assert name.bounding_box()["height"] < 3 * 1.6 * 16
    assert name.get_attribute("title") == LONG
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.set_viewport_size({"width": 1280, "height": 900})
    assert findings(page, axe) == {}
