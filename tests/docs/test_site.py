"""The documentation as a static site: it builds without a warning, its navigation is whole, its links lead somewhere."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = re.compile(r"[a-z]+:|//")


class Page(HTMLParser):
    """What a page points at, what in it can be pointed at, and the text of its paragraphs but for code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.paragraphs: list[str] = []
        self._inside = self._code = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "p":
            self._inside = True
            self.paragraphs.append("")
        if tag == "code":
            self._code = True
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if "src" in found:
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") != "canonical" and "href" in found:
            self.loads.append(found["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._inside = False
        if tag == "code":
            self._code = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.paragraphs[-1] += "`" if self._code else data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Every page of the site, as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(DOCS, folder / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    assert "No issues found" in built.stdout + built.stderr
    # The page of missing addresses has links from the site's root: it is shown under any address.
    pages = [path for path in (folder / "site").rglob("*.html") if path.name != "404.html"]
    return {path.resolve(): Page(path.read_text()) for path in pages}


def navigation(entries: list[Any]) -> Iterator[tuple[str, str]]:
    """(title, file) of every page, in order."""
    for entry in entries:
        if isinstance(entry, str):
            yield Path(entry).stem, entry
            continue
        for title, inside in entry.items():
            if isinstance(inside, str):
                yield title, inside
            else:
                yield from navigation(inside)


def test_the_navigation_has_every_page_as_the_index_has_it():
    (_, first), *others = navigation(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    assert first == "README.md"
    index = re.findall(r"^\| \[([^\]]+)\]\(([^)]+)\) \|", (DOCS / "README.md").read_text(), re.MULTILINE)
    assert others == index
    assert {file for _, file in others} == {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {"README.md"}


def test_every_page_is_built(site):
    sources = {str(path.relative_to(DOCS).with_suffix(".html")) for path in DOCS.rglob("*.md")}
    root = next(path.parent for path in site if path.name == "index.html")
    assert {str(path.relative_to(root)) for path in site} == sources - {"README.html"} | {"index.html"}


def test_every_link_and_every_picture_of_the_site_is_there(site):
    missing = []
    for path, page in site.items():
        for link in page.links + page.loads:
            if ELSEWHERE.match(link):
                continue
            file, _, anchor = unquote(link).partition("#")
            target = (path.parent / file.partition("?")[0]).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (anchor and target in site and anchor not in site[target].anchors):
                missing.append(f"{path.name}: {link}")
    assert not missing


def test_pages_load_nothing_from_other_hosts(site):
    assert not [(path.name, link) for path, page in site.items() for link in page.loads if ELSEWHERE.match(link)]


def test_lists_and_tables_are_not_taken_for_text(site):
    """GitHub starts a list or a table right after a paragraph; the site's generator wants an empty line before it."""
    marker = re.compile(r"^(?:[*-] |\|)|\n\d+\. ", re.MULTILINE)
    assert not [(path.name, text) for path, page in site.items() for text in page.paragraphs if marker.search(text)]
