"""Every code block of README, tutorial and how-tos runs as it is written, on one real server; those that cannot say why."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import keys, schema
from store.database import Database
from windtunnel import Client

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "README.md", ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md")))
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in FILES}
BLOCK = re.compile(r"(?:^<!-- not run: ([^>]+) -->\n)?^```([\w-]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN = ("python", "sh")
NO_CODE = ("json", "yaml", "toml", "ini", "nginx", "csv", "text")
"""Their specs are validated by test_reference.py."""

NOT_RUN = {
    "README.md": [
        "each sets up an environment; what they do is run by itself",
        "runs until it is stopped",
        "installs",
    ],
    "docs/tutorial.md": ["runs until it is stopped"],
    "docs/how-to/fleet.md": ["needs Docker", "needs Docker", "runs until it is stopped, on several machines"],
    "docs/how-to/operate.md": ["needs the program sqlite3", "runs until it is stopped, on several machines"],
    "docs/how-to/security.md": ["runs until it is stopped, and lets the network in"],
    "docs/how-to/webhooks.md": [*["needs a receiver with a public address"] * 3, "runs until it is stopped"],
    "docs/how-to/use-a-plan.md": ["needs the plan of a transformer"],
    "docs/how-to/allocate.md": ["needs the loss of the large run"],
}
"""All blocks that are not run, in the order of their page."""

PYTHON_ELSEWHERE = {
    "docs/tutorial.md": "tests/docs/test_reference.py",
    "docs/how-to/own-data.md": "tests/docs/test_own_data.py",
    "docs/how-to/own-model.md": "tests/user_modules/test_page.py",
    "docs/how-to/webhooks.md": "tests/docs/test_webhooks.py",
    "docs/how-to/use-a-plan.md": "tests/mup/test_use_a_plan.py",
}
"""Pages whose Python is run by a test that also looks at what it prints."""

SMALLER = {
    "README.md": [
        (
            '{"task": "digits"}',
            '{"task": "digits", "model": {"width": 16}, "inner": {"steps": 6, "seeds": 2}, "outer": {"steps": 1}}',
        ),
        ('task="digits"', 'task="digits", model={"width": 16}, inner={"steps": 6, "seeds": 2}, outer={"steps": 1}'),
        ("coordcheck spec.yaml", "coordcheck spec.yaml --widths 16,32 --seeds 2"),
    ],
    "docs/tutorial.md": [
        ('"inner": {"steps": 100}, "outer": {"steps": 4}', '"inner": {"steps": 6, "seeds": 2}, "outer": {"steps": 1}')
    ],
}

MODEL = """
made = {"__name__": "large_model"}
exec(plan.to("torch"), made)
model = made["build_model"]()
"""
"""In the README the model is the reader's own: here that of the exported file."""


@dataclass
class Block:
    """One fenced block of a page."""

    page: str
    language: str
    text: str
    not_run: str | None = None


def blocks(page: str) -> list[Block]:
    """All blocks of a page, in order."""
    return [Block(page, language, text, reason or None) for reason, language, text in BLOCK.findall(PAGES[page])]


def of_page(page: str) -> list[Block]:
    """The blocks that are run here, with smaller numbers where the page has large ones."""
    found = [block for block in blocks(page) if block.language in RUN and not block.not_run]
    if page in PYTHON_ELSEWHERE:
        found = [block for block in found if block.language != "python"]
    for written, smaller in SMALLER.get(page, ()):
        holding = [block for block in found if written in block.text]
        assert holding, written
        for block in holding:
            block.text = block.text.replace(written, smaller)
    return found


def read(reader: Any, page: str) -> None:
    """Type the page's blocks, and take back what still waits."""
    try:
        for block in of_page(page):
            if block.language == "python":
                if "optimizer(model, plan)" in block.text and "model = " not in block.text:
                    reader.python(MODEL, page)
                reader.python(block.text, page)
            else:
                reader.shell(block.text)
    finally:
        with Client(reader.environment["WINDTUNNEL_URL"]) as waiting:
            for left in waiting.jobs.list(state="queued"):
                left.cancel()
        client = reader.names.get("client")
        if isinstance(client, Client):
            client.close()


PLAIN = sorted(page for page in PAGES if of_page(page) and page != "docs/how-to/security.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", PLAIN)
def test_the_page_runs_from_top_to_bottom(reader: Any, page: str) -> None:
    if page == "docs/how-to/own-model.md":
        module, *_, task = [block.text for block in blocks(page) if block.language == "python"]
        (reader.folder / "sums").mkdir()
        (reader.folder / "sums" / "model.py").write_text(module.split("table =")[0])
        (reader.folder / "sums" / "task.py").write_text(task)
        (reader.folder / "sums" / "data.py").write_text("def load(): ...\n")
        shutil.copytree(reader.folder / "sums", reader.folder / "src" / "sums")
    read(reader, page)


@pytest.mark.slow
def test_the_page_on_keys_runs_on_a_server_that_asks_for_one(reader: Any, tmp_path: Path) -> None:
    page = "docs/how-to/security.md"
    settings = ServiceSettings(data_dir=tmp_path / "keyed")
    schema.upgrade(settings.url)
    database = Database(settings.url)
    with database.transaction() as session:
        own = keys.create(session, "test", owner="ann").key
    with background(create_app(settings, database=database)) as url:
        reader.written |= {
            r"wt_\.\.\.": own,
            r"https://tunnel\.example": url,
            "/var/lib/windtunnel": str(tmp_path / "keyed"),
        }
        read(reader, page)
    with database.snapshot() as session:
        assert [(key.name, bool(key.revoked_at)) for key in keys.listing(session, owner="ann")] == [
            ("test", False),
            ("laptop", True),
        ]
    database.dispose()


def test_every_block_has_a_language_and_every_block_that_is_not_run_says_why() -> None:
    found = {page: blocks(page) for page in PAGES}
    assert {block.language for page in found.values() for block in page} <= {*RUN, *NO_CODE}
    reasons = {page: [block.not_run for block in each if block.not_run] for page, each in found.items()}
    assert {page: told for page, told in reasons.items() if told} == NOT_RUN


@pytest.mark.parametrize("page", PYTHON_ELSEWHERE)
def test_a_page_whose_python_is_run_elsewhere_is_run_there(page: str) -> None:
    assert Path(page).name in (ROOT / PYTHON_ELSEWHERE[page]).read_text()
