"""The page on one's own data is run from top to bottom, and tells the limits that hold."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.datasets import pool, splitting, tables, text
from service.datasets.options import SUFFIXES, UploadOptions
from service.datasets.reading import UNPACKED
from service.serve import background
from service.settings import ServiceSettings
from store import schema
from store.database import Database
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "own-data.md").read_text()
SMALLER = (('"steps": 100', '"steps": 40'), ('"outer": {"steps": 4}', '"outer": {"steps": 1, "finish_seeds": 2}'))
"""So that the test takes seconds; all else is run as it is written."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """Address of the real service with one real worker."""
    settings = ServiceSettings(data_dir=tmp_path, event_poll=0.02)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    dispatcher = LocalDispatcher(database, WorkerSettings(data_dir=tmp_path, threads=1, poll=0.05))
    with background(create_app(settings, database=database, dispatcher=dispatcher)) as url:
        yield url
    database.dispose()


@pytest.mark.slow
def test_the_page_runs_from_a_csv_to_a_plan(service, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WINDTUNNEL_URL", service)
    monkeypatch.chdir(tmp_path)
    source = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    for written, smaller in SMALLER:
        assert written in source
        source = source.replace(written, smaller)
    names: dict[str, Any] = {"__name__": "own_data"}
    try:
        exec(compile(source, "docs/how-to/own-data.md", "exec"), names)
    finally:
        if "client" in names:
            names["client"].close()
    printed = capsys.readouterr().out
    assert "regression ['area', 'rooms', 'age']" in printed
    assert float(printed.rsplit("->", 1)[1].split()[0]) < 0.2
    assert "0.24 epochs of the 48,000 in the training part" in printed and "60000 tokens" in printed
    # The house's price by the formula is 416,000; standardised with the scaling, it is within the range of the data.
    assert abs((416_000 - names["scaling"].target_mean) / names["scaling"].target_deviation) < 3
    made: dict[str, Any] = {"__name__": "large_model"}
    exec(compile((tmp_path / "large_model.py").read_text(), "large_model.py", "exec"), made)
    assert made["build_model"]().layers[0].weight.shape == (1024, 3)


def test_formats_fields_and_limits_are_those_of_the_code():
    settings = ServiceSettings()
    assert all(f"`{suffix}`" in PAGE for suffix in SUFFIXES)
    assert all(f"| `{field}` |" in PAGE for field in UploadOptions.model_fields)
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", PAGE.split("## Limits")[1], re.MULTILINE))
    assert rows["file"].startswith(f"{settings.max_dataset_bytes // 2**20} MiB")
    assert rows["file of `tokens`"].startswith(f"{settings.max_stream_bytes // 2**30} GiB")
    memory, seconds = settings.dataset_memory // 2**30, settings.dataset_seconds
    assert rows["memory, time to read it"].startswith(f"{memory} GiB, {seconds} s")
    assert UNPACKED == 4 and "four times" in rows["arrays of an npz, unpacked"]
    assert rows["cells of a table, tokens of a text"] == f"{tables.MOST_CELLS:,}; {text.MOST_TOKENS:,}"
    assert rows["features, classes"] == f"{pool.MOST_FEATURES:,}; {pool.MOST_CLASSES:,}"
    least = f"at least {pool.LEAST_EXAMPLES}; {pool.LEAST_OF_A_CLASS}; {text.LEAST_WINDOWS}"
    assert rows["examples, examples of a class, windows of text"] == least
    assert rows["data sets"].startswith(f"{settings.max_datasets} ")
    assert rows["room that they take together (`stored_bytes`)"].startswith(f"{settings.max_datasets_bytes // 2**30} GiB ")
    assert f"at most {splitting.MOST_HELD_OUT:,} examples" in PAGE
    assert f"at most {splitting.MOST_HELD_OUT_WINDOWS} windows" in PAGE
    assert f"at most {pool.MOST_WHOLE_NUMBERS} different ones" in PAGE
