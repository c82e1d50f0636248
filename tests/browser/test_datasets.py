"""Data sets in a real browser, without JavaScript: upload, fill in the form for a job, delete."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(120)

CSV = "a,b,kind\n" + "\n".join(f"{index * 7 % 11},{index * 5 % 13},{'dog' if index % 3 else 'cat'}" for index in range(60))


def test_a_data_set_from_upload_to_deletion_without_javascript(idle: str, open_page, tmp_path: Path):
    good, bad = tmp_path / "animals.csv", tmp_path / "bad.csv"
    good.write_text(CSV)
    bad.write_text(CSV.replace("\n0,", "\nlow,", 1))
    page = open_page(
        f"{idle}/datasets",
        expected=("status of 422",),
        java_script_enabled=False,
        viewport={"width": 360, "height": 800},
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.locator("#file").set_input_files(bad)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("column 'a' has text in row 2: 'low'")
    page.locator("#file").set_input_files(good)
    page.locator("#name").fill("animals")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="animals")).to_be_visible()
    expect(page.get_by_text("Classes: cat, dog")).to_be_visible()
    page.get_by_role("link", name="Tune on it").click()
    spec = json.loads(page.get_by_label("What to tune").input_value())
    assert spec["task"].startswith("ds_") and spec["name"] == "animals"
    page.get_by_role("link", name="Data", exact=True).click()
    page.get_by_role("link", name="animals").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.locator("summary", has_text="Delete").click()
    expect(page.get_by_text("none of them can be run again")).to_be_visible()
    page.get_by_role("button", name="Delete the data set").click()
    expect(page.get_by_text("No data set yet")).to_be_visible()
