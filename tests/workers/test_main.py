"""``python -m workers.main``: settings that cannot work end in a sentence; a signal ends it in order."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from store.database import Database
from workers import main
from workers.settings import WorkerSettings


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "workers.main"]
    return subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [("SLOTS", "many", "WINDTUNNEL_SLOTS"), ("DATABASE_URL", "postgresql:///x?host=/nowhere", "cannot be opened")],
)
def test_a_setting_that_cannot_work_is_a_sentence_and_status_2(tmp_path: Path, name: str, value: str, word: str) -> None:
    with start({"WINDTUNNEL_DATA_DIR": str(tmp_path), f"WINDTUNNEL_{name}": value}) as process:
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 2
    assert word in said and "Traceback" not in said


def test_sigterm_ends_a_worker_with_status_0(tmp_path: Path) -> None:
    with start({"WINDTUNNEL_DATA_DIR": str(tmp_path)}) as process:
        assert process.stderr is not None
        while "worker ready" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 0


def test_a_dispatcher_that_breaks_down_ends_the_worker_with_status_1(
    settings: WorkerSettings, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(main.LocalDispatcher):
        def _loop(self) -> None:
            return

    monkeypatch.setattr(main, "LocalDispatcher", Broken)
    assert main.run(settings) == 1
