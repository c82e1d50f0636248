"""The Laws page in a real browser: a table that is none, one that is fitted, a budget spent by it."""

import pytest
from playwright.sync_api import expect

SIZES, TOKENS = (1e6, 1e7, 1e8, 1e9), (1e8, 1e9, 1e10, 1e11)
CSV = "N,D,loss\n" + "".join(f"{n},{d},{1.8 + 482 / n**0.35 + 2085 / d**0.37}\n" for n in SIZES for d in TOKENS)
DRAWN = ".plot .main-svg"

pytestmark = pytest.mark.timeout(120)


def test_a_table_is_fitted_and_a_budget_spent_by_it(idle, open_page):
    page = open_page(f"{idle}/laws", expected=("status of 422",))
    expect(page.locator(f"#figure-frontier {DRAWN}").first).to_be_visible()
    expect(page.locator(f"#figure-iso_flops {DRAWN}").first).to_be_visible()
    table = page.get_by_label("Runs as CSV")
    table.fill("N,loss\n1e6,low\n")
    page.get_by_role("button", name="Fit").click()
    expect(page.get_by_role("alert")).to_contain_text("column 'loss', row 1 is 'low', no number")
    assert table.input_value() == "N,loss\n1e6,low\n"
    table.fill(CSV)
    page.get_by_role("button", name="Fit").click()
    page.wait_for_url("**/laws/law_*")
    expect(page.locator(f"#figure-hoffmann {DRAWN}").first).to_be_visible()
    page.get_by_role("link", name="Spend a budget by it").click()
    page.wait_for_url("**/laws?fit=law_*")
    expect(page.get_by_role("rowheader", name="yours: hoffmann", exact=True)).to_be_visible()
    page.get_by_label("FLOPs", exact=True).fill("1e20")
    page.get_by_role("button", name="Allocate").click()
    expect(page.get_by_text("1e+20 FLOPs, as given")).to_be_visible()


def test_the_page_is_usable_on_a_phone(idle, open_page):
    page = open_page(f"{idle}/laws", viewport={"width": 390, "height": 844})
    expect(page.get_by_role("button", name="Allocate")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
