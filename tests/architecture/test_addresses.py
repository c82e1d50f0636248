"""Addresses of pages are made in one place, so that all of them follow the path of a proxy."""

import re
from pathlib import Path

SERVICE = Path("service")
ABSOLUTE = re.compile(r"""[=(,]\s*["']/(?!/)[a-z#?"']""")


def test_no_template_or_script_holds_an_address_that_begins_at_the_root():
    for path in (*(SERVICE / "templates").glob("*.html"), *(SERVICE / "static").glob("*.js")):
        for line in path.read_text().splitlines():
            rest = line.replace('.split("/")', "")
            assert not ABSOLUTE.search(rest), f"{path}: {line.strip()}: begin it with root"


def test_no_style_holds_an_address():
    assert "url(" not in (SERVICE / "static" / "page.css").read_text()


def test_redirects_and_locations_are_made_where_the_prefix_is_known():
    for path in SERVICE.rglob("*.py"):
        text = path.read_text()
        if path.name != "site.py":
            assert "RedirectResponse" not in text, f"{path}: use Site.to"
        for line in text.splitlines():
            if re.search(r"""["']location["']\]? ?[=:]""", line) and path.name != "proxying.py":
                assert "address(request," in line, f"{path}: {line.strip()}"
