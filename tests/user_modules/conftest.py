"""An installed package that brings a task of its own: ``installed/`` put on the path, with its entry points."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from windtunnel.tasks import TASKS

INSTALLED = Path(__file__).parent / "installed"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of the task, found by this process and by those that it starts."""
    monkeypatch.syspath_prepend(str(INSTALLED))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(INSTALLED), os.environ.get("PYTHONPATH")])))
    TASKS.refresh()
    yield "example-sums"
    monkeypatch.undo()
    TASKS.refresh()
