"""The page about models of one's own is run, but for its sizes."""

import re
from pathlib import Path
from typing import Any

import pytest

from windtunnel import UserTask

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "own-model.md").read_text()
SMALLER = (
    ('"steps": 60', '"steps": 8'),
    ('outer={"steps": 3}', 'outer={"steps": 1, "finish_seeds": 2}'),
    ('width": 32', 'width": 8'),
)


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(capsys):
    source = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    for written, smaller in SMALLER:
        assert written in source
        source = source.replace(written, smaller)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(source, "own-model.md", "exec"), names)
    printed = capsys.readouterr().out
    assert isinstance(names["TASK"], UserTask)
    assert names["loss"].item() < 1.2
    for line in re.findall(r"^(position .*|embedding.weight .*|layers.0.weight .*|temperature .*)$", PAGE, re.MULTILINE):
        assert line.split() in [shown.split() for shown in printed.splitlines()], line
