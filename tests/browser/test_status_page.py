"""The status page in a real browser: submit, watch live, plan, cancel, on a desk and on a phone, light and dark."""

import json
import re
import zipfile

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.pages.rendering import number
from service.pages.submitting import example_text
from tests.browser.test_accessibility import findings
from windtunnel.types import JobSpec

LONG = {
    "name": "long flight",
    "task": "digits",
    "model": {"width": 16},
    "inner": {"steps": 200, "batch_size": 32, "seeds": 2},
    "outer": {"steps": 1000},
}
PATIENCE = 180_000
DRAWN = ".plot .main-svg"
REFUSED = ("status of 422", "status of 409")

pytestmark = pytest.mark.timeout(240)


def submit(page: Page, spec: dict | None) -> str:
    """Start the form's own job or the given one, and return its id from the address of the page that opens."""
    if spec is not None:
        page.get_by_label("What to tune").fill(json.dumps(spec, indent=2))
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url("**/jobs/job_*")
    return page.url.rpartition("/")[2]


def cancel(page: Page) -> None:
    """Cancel the job of a page, which asks once."""
    page.locator("summary", has_text="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()


@pytest.mark.slow
def test_a_job_is_submitted_watched_to_its_end_and_its_plan_opened(site, open_page, tmp_path):
    page = open_page(site)
    # The form's own job, of which it takes a few seconds.
    submit(
        page, {**json.loads(example_text()), "inner": {"steps": 60, "seeds": 2}, "outer": {"steps": 3, "finish_seeds": 2}}
    )
    page.evaluate("window.sameDocument = true")
    state = page.locator("#state .badge")
    expect(page.get_by_role("heading", name="first flight")).to_be_visible()
    expect(page.locator(f"#figure-loss {DRAWN}").first).to_be_visible(timeout=PATIENCE)
    expect(state).to_have_text("succeeded", timeout=PATIENCE)
    expect(page.locator("#result")).to_contain_text("Test loss")
    expect(page.locator("#values")).to_contain_text("learning_rate.hidden")
    expect(page.locator(f"#figure-schedule {DRAWN}").first).to_be_visible()
    expect(page.locator(".ask", has_text="Cancel the job")).to_have_count(0)
    assert page.evaluate("window.sameDocument"), "the page was loaded again: it did not follow the job live"
    page.screenshot(path=tmp_path / "job.png", full_page=True)
    page.locator("#plans a").first.click()
    page.wait_for_url("**/plans/plan_*")
    expect(page.get_by_role("heading", name="Plan for width 1,024")).to_be_visible()
    expect(page.locator(DRAWN).first).to_be_visible()
    expect(page.locator("#export-torch")).to_contain_text("import torch")


def test_running_job_is_cancelled_from_its_page(site, open_page):
    page = open_page(site)
    job_id = submit(page, LONG)
    state = page.locator("#state .badge")
    expect(state).to_have_text("running", timeout=PATIENCE)
    cancel(page)
    expect(state).to_have_text("cancelled", timeout=PATIENCE)
    assert httpx.get(f"{site}/v1/jobs/{job_id}").json()["state"] == "cancelled"


def test_untouched_form_is_a_job_and_a_waiting_job_is_cancelled(idle, open_page):
    page = open_page(idle)
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url("**/jobs/job_*")
    job = httpx.get(page.url.replace("/jobs/", "/v1/jobs/")).json()
    assert job["spec"] == JobSpec.model_validate_json(example_text()).model_dump(mode="json")
    expect(page.locator("#state .badge")).to_have_text("queued")
    cancel(page)
    expect(page.locator("#state .badge")).to_have_text("cancelled")


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark", "viewport": {"width": 375, "height": 800}}])
def test_an_action_that_cannot_be_taken_back_says_what_is_lost_and_waits_for_a_yes(idle, axe, open_page, look):
    job_id = httpx.post(f"{idle}/v1/jobs", json={"task": "digits"}).json()["id"]
    page = open_page(f"{idle}/jobs/{job_id}", **look)
    page.locator("summary", has_text="Cancel").click()
    expect(page.get_by_text("The job ends for good")).to_be_visible()
    httpx.post(f"{idle}/v1/jobs/{job_id}/pause")
    expect(page.locator("#progress")).to_contain_text(
        "Phasewaiting"
    )  # the page has followed, and the question is still there
    expect(page.get_by_role("button", name="Cancel the job")).to_be_visible()
    assert httpx.get(f"{idle}/v1/jobs/{job_id}").json()["state"] == "paused"
    assert findings(page, axe) == {}
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator("#state .badge")).to_have_text("cancelled")


def test_mistakes_are_shown_by_field_and_the_text_stays(idle, open_page):
    page = open_page(idle, expected=REFUSED)
    text = json.dumps({"task": "digits", "model": {"widht": 32, "depth": -1}})
    spec = page.get_by_label("What to tune")
    spec.fill(text)
    page.get_by_role("button", name="Start the job").click()
    errors = page.locator("#submit .errors")
    expect(errors).to_contain_text("did you mean 'width'?")
    expect(errors).to_contain_text("/model/depth depth is -1; allowed: 1 to 32")
    expect(spec).to_have_value(text)
    page.get_by_role("link", name="/model/widht").click()
    assert page.evaluate("document.activeElement.id") == "spec"
    selected = page.evaluate(
        "(() => { const e = document.activeElement; return e.value.slice(e.selectionStart, e.selectionEnd) })()"
    )
    assert selected == "widht"
    spec.fill('{"task": }')
    page.get_by_role("button", name="Start the job").click()
    expect(errors).to_contain_text("This is not JSON")
    assert httpx.get(f"{idle}/v1/jobs?state=queued").json()["items"] == []


def test_plan_is_made_from_the_page_and_a_bad_target_is_shown_at_its_field(site, finished, open_page):
    page = open_page(f"{site}/jobs/{finished}", expected=REFUSED)
    page.locator("#plan-width").fill("4")
    page.get_by_role("button", name="Make a plan").click()
    expect(page.locator("#plan-errors")).to_contain_text("width 4 is below the proxy's 8")
    assert page.locator("#plan-width").get_attribute("aria-invalid") == "true"
    page.locator("#plan-width").fill("256")
    page.locator("#plan-batch_size").fill("100000")
    page.get_by_role("button", name="Make a plan").click()
    expect(page.locator("#plan-errors")).to_contain_text("past the critical batch size")
    page.get_by_label("even if a check failed").check()
    page.get_by_role("button", name="Make a plan").click()
    page.wait_for_url("**/plans/plan_*")
    expect(page.get_by_role("heading", name="Plan for width 256")).to_be_visible()
    expect(page.get_by_text("past the critical batch size").first).to_be_visible()


def test_the_laws_of_a_jobs_grid_are_drawn_kept_and_taken_by_a_plan(site, finished, open_page):
    page = open_page(f"{site}/jobs/{finished}")
    expect(page.locator(f"#scaling {DRAWN}").first).to_be_visible()
    page.get_by_role("button", name="Keep as a fit").click()
    page.wait_for_url("**/laws/law_*")
    kept = page.url.rpartition("/")[2]
    page.goto(f"{site}/jobs/{finished}")
    page.get_by_label("Predict the loss with").select_option(kept)
    page.get_by_label("even if a check failed").check()
    page.get_by_role("button", name="Make a plan").click()
    page.wait_for_url("**/plans/plan_*")
    assert httpx.get(f"{site}/v1/plans/{page.url.rpartition('/')[2]}").json()["predicted_loss"]["fit"] == kept


def test_list_filters_and_shows_the_trend(site, finished, open_page):
    page = open_page(site)
    row = page.get_by_role("row").filter(has_text="finished flight")
    expect(row).to_contain_text("succeeded")
    expect(row.get_by_role("img", name="loss over outer steps")).to_be_visible()
    page.get_by_label("State").select_option("queued")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("finished flight")).to_have_count(0)
    page.goto(site)
    page.get_by_label("Search").fill("FINISHED fl")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="finished flight")).to_be_visible()
    expect(page.locator("#jobs .name")).to_have_count(1)


def test_what_a_job_would_take_is_told_while_its_spec_is_typed(idle, open_page):
    def runs(spec: dict) -> str:
        estimate = httpx.post(f"{idle}/v1/estimates", json=spec).json()
        return f"About {number(estimate['run_equivalents'], 3)} runs"

    page = open_page(idle)
    told = page.locator("#estimate")
    expect(told).to_contain_text(runs(json.loads(example_text())))
    spec = page.get_by_label("What to tune")
    cheap = {"task": "digits", "outer": {"budget": 100}}
    assert runs(cheap) != runs(json.loads(example_text()))
    spec.fill(json.dumps(cheap))
    expect(told).to_contain_text(runs(cheap))
    expect(page.locator("#submit-errors")).to_be_hidden()
    spec.fill('{"task": "digits", "outer": {"budget": 1}')
    expect(told).to_be_empty()
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#submit-errors")).to_contain_text("This is not JSON")
    assert spec.get_attribute("aria-invalid") == "true"
    spec.fill('{"task": "digits", "outer": {"budget": 1}}')
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#submit-errors")).to_contain_text("/outer/budget budget is 1")
    assert httpx.get(f"{idle}/v1/jobs?search=budget").json()["items"] == []


def spec_of(page: Page) -> dict:
    return json.loads(page.get_by_label("What to tune").input_value())


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark", "viewport": {"width": 375, "height": 800}}])
def test_fields_and_json_stay_in_step_and_a_mistake_is_told_at_its_field_while_it_is_typed(idle, axe, open_page, look):
    page = open_page(idle, **look)
    width = page.get_by_label("Width").first
    width.fill("2")
    expect(page.locator("#field-model-width-mistake")).to_have_text("width is 2; allowed: 4 to 8,192")
    expect(width).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#estimate")).to_be_empty()
    assert spec_of(page)["model"]["width"] == 2
    width.fill("96")
    expect(page.locator("#field-model-width-mistake")).to_be_empty()
    expect(page.locator("#estimate")).to_contain_text("runs of the proxy")
    assert spec_of(page)["model"]["width"] == 96
    text = page.get_by_label("What to tune")
    text.fill(text.input_value().replace('"width": 96', '"width": 40'))
    expect(width).to_have_value("40")
    page.get_by_text("More hyperparameters").click()
    page.get_by_label("beta1", exact=True).check()
    page.get_by_label("high of beta1").fill("0.95")
    expect(text).to_have_value(re.compile(r'"beta1", "high": 0.95'))
    page.get_by_label("low of learning_rate").fill("5")
    expect(page.locator("#search-learning_rate-mistake")).to_contain_text("low must be below high")
    assert findings(page, axe) == {}
    page.get_by_label("low of learning_rate").fill("")
    expect(page.locator("#search-learning_rate-mistake")).to_be_empty()
    page.get_by_label("Name", exact=False).first.fill("by the form")
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url("**/jobs/job_*")
    spec = httpx.get(f"{idle}/v1/jobs/{page.url.rpartition('/')[2]}").json()["spec"]
    assert (spec["name"], spec["model"]["width"], spec["search"][2]["high"]) == ("by the form", 40, 0.95)


def test_the_form_works_without_javascript(idle, open_page):
    page = open_page(idle, java_script_enabled=False, expected=REFUSED, viewport={"width": 375, "height": 800})
    page.get_by_label("Width").first.fill("2")
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator("#field-model-width-mistake")).to_have_text("width is 2; allowed: 4 to 8,192")
    assert spec_of(page)["model"]["width"] == 2
    page.get_by_label("Width").first.fill("24")
    page.get_by_label("weight decay", exact=True).uncheck()
    page.get_by_label("high of learning_rate").fill("0.5")
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#estimate")).to_contain_text("runs of the proxy")
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator("#progress")).to_contain_text("mlp, 24 wide")
    spec = httpx.get(f"{idle}/v1/jobs/{page.url.rpartition('/')[2]}").json()["spec"]
    assert [(item["name"], item["high"]) for item in spec["search"]] == [("learning_rate", 0.5)]


def test_a_job_is_paused_forked_and_its_fork_resumed_without_javascript(idle, open_page):
    page = open_page(idle, java_script_enabled=False, expected=REFUSED, viewport={"width": 375, "height": 800})
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#estimate")).to_contain_text("runs of the proxy")
    page.get_by_role("button", name="Start the job").click()
    state = page.locator("#state .badge")
    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(state).to_have_text("queued")
    page.get_by_role("link", name="Fork").click()
    page.get_by_label("Name").fill("wider flight")
    page.get_by_label("Width", exact=True).fill("0")
    page.get_by_role("button", name="Start the fork").click()
    expect(page.get_by_role("alert")).to_contain_text("width is 0; allowed: 4 to 8,192")
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.get_by_label("Width", exact=True).fill("96")
    page.get_by_role("button", name="Start the fork").click()
    expect(page.get_by_role("heading", name="wider flight")).to_be_visible()
    expect(page.locator("#progress")).to_contain_text("mlp, 96 wide")
    cancel(page)
    expect(state).to_have_text("cancelled")


def test_a_bundle_is_downloaded_from_the_page(site, finished, open_page):
    page = open_page(f"{site}/jobs/{finished}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Bundle").click()
    assert download.value.suggested_filename == f"{finished}.zip"
    with zipfile.ZipFile(download.value.path()) as bundle:
        assert f"{finished}/result.json" in bundle.namelist()


def test_a_report_is_downloaded_and_opens_without_a_network(site, finished, open_page, tmp_path):
    page = open_page(f"{site}/jobs/{finished}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Report", exact=True).click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == f"{finished}.html"
    # The watched page of a file has no network, and complains of anything that it would fetch.
    for look in ({}, {"color_scheme": "dark", "viewport": {"width": 375, "height": 800}}):
        report = open_page(file.as_uri(), offline=True, **look)
        expect(report.get_by_role("heading", name="finished flight")).to_be_visible()
        expect(report.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        assert report.locator(".js-plotly-plot").count() >= 5
        assert report.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("look", [{}, {"java_script_enabled": False}])
def test_an_ended_job_is_deleted_from_its_page_after_one_question(idle, open_page, look):
    job_id = httpx.post(f"{idle}/v1/jobs", json={"task": "digits", "name": "to go"}).json()["id"]
    httpx.post(f"{idle}/v1/jobs/{job_id}/cancel")
    page = open_page(f"{idle}/jobs/{job_id}", **look)
    page.locator("summary", has_text="Delete").click()
    expect(page.get_by_text("The job is deleted for good")).to_be_visible()
    page.get_by_role("button", name="Delete the job").click()
    expect(page).to_have_url(f"{idle}/")
    assert httpx.get(f"{idle}/v1/jobs/{job_id}").status_code == 404


def test_list_shows_a_new_job_without_a_reload(idle, open_page):
    page = open_page(idle)
    httpx.post(f"{idle}/v1/jobs", json={"task": "synthetic", "name": "from elsewhere"})
    expect(page.get_by_role("link", name="from elsewhere")).to_be_visible(timeout=15_000)


def test_no_page_is_wider_than_its_screen(site, finished, open_page, tmp_path):
    plan_id = httpx.get(f"{site}/v1/jobs/{finished}").json()["plans"][0]
    page = open_page(site, expected=("status of 404",))
    for name, path in (("jobs", "/"), ("job", f"/jobs/{finished}"), ("plan", f"/plans/{plan_id}"), ("problem", "/jobs/x")):
        page.goto(site + path)
        if name in ("job", "plan"):
            expect(page.locator(DRAWN).first).to_be_visible()
        for width in (1280, 768, 360):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        page.screenshot(path=tmp_path / f"{name}-360.png", full_page=True)


def test_dark_screens_get_a_dark_page_and_dark_charts(site, finished, open_page, tmp_path):
    page = open_page(f"{site}/jobs/{finished}", color_scheme="dark")
    expect(page.locator(f"#figure-loss {DRAWN}").first).to_be_visible()
    page.screenshot(path=tmp_path / "dark.png", full_page=True)

    def lightness(property_name: str, selector: str) -> float:
        script = f"getComputedStyle(document.querySelector('{selector}')).{property_name}"
        return sum(int(part) for part in page.evaluate(script).strip("rgba()").split(",")[:3]) / 765

    title = "#figure-loss .xtitle"
    assert lightness("backgroundColor", "body") < 0.2
    assert lightness("fill", title) > 0.7
    page.emulate_media(color_scheme="light")
    expect(page.locator(title)).to_have_css("fill", "rgb(22, 35, 43)")
    assert lightness("backgroundColor", "body") > 0.9


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (375, 800)])
def test_the_verdict_and_the_way_to_a_plan_are_seen_before_anything_is_scrolled(site, finished, open_page, width, height):
    page = open_page(f"{site}/jobs/{finished}", viewport={"width": width, "height": height})
    expect(page.get_by_role("heading", name="noise")).to_be_in_viewport()
    page.get_by_role("link", name="Plan a large model").click()
    expect(page.get_by_role("button", name="Make a plan")).to_be_in_viewport()
    page.get_by_text("Spec what was asked for").click()
    expect(page.locator("#spec-asked")).to_contain_text('"task": "digits"')


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark", "viewport": {"width": 375, "height": 800}}])
def test_a_webhook_is_made_tested_and_deleted_from_its_page(idle, axe, open_page, look):
    page = open_page(f"{idle}/sign-in", expected=REFUSED, **look)
    page.locator("dl").get_by_role("link", name="yours").last.click()
    page.get_by_role("button", name="Make a webhook").click()
    expect(page.get_by_role("alert")).to_contain_text("url is required")
    page.get_by_label("Address").fill("https://hooks.example.com/windtunnel")
    page.get_by_label("What it is for").fill("chat")
    page.get_by_label("paused").check()
    page.get_by_role("button", name="Make a webhook").click()
    expect(page.locator("#made-secret")).to_contain_text("whsec_")
    assert findings(page, axe) == {}
    page.goto(f"{idle}/webhooks")
    page.get_by_role("button", name="Test chat").click()
    expect(page.locator("#hooks")).to_contain_text("ping")
    page.get_by_label("Delete chat").click()
    page.get_by_role("button", name="Delete the webhook").click()
    expect(page.get_by_text("chat")).to_have_count(0)
    assert httpx.get(f"{idle}/v1/webhooks").json()["items"] == []


def test_page_reads_without_javascript(site, finished, open_page):
    page = open_page(f"{site}/jobs/{finished}", java_script_enabled=False)
    expect(page.locator("#progress")).to_contain_text("noise")
    expect(page.locator("#result")).to_contain_text("Test loss")
    expect(page.locator("#values")).to_contain_text("weight_decay.hidden")
