"""A real server, and somebody who types what a page says into one shell."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import schema
from store.database import Database
from windtunnel import Client
from windtunnel.cli.app import app
from workers.local import LocalDispatcher
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
SMALL = {
    "model.width": 16,
    "inner.steps": 6,
    "inner.seeds": 2,
    "outer.steps": 1,
    "outer.finish_seeds": 2,
    "parametrization": "standard",
    "target": "null",
}
"""So that a submitted job takes a second: the check over widths takes most of a small one. All else is as it is written."""
SMALL_SPEC = {
    "model": {"width": 16},
    "inner": {"steps": 6, "seeds": 2},
    "outer": {"steps": 1, "finish_seeds": 2},
}
MODULE = """
from torch import nn


def build(width):
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 2))
"""


@dataclass
class Reader:
    """Somebody who types what a page says, in one folder and one shell."""

    folder: Path
    environment: dict[str, str]
    written: dict[str, str]
    """What stands on a page for something of the reader's own -> what that is."""
    names: dict[str, Any] = field(default_factory=dict)

    def filled_in(self, text: str) -> str:
        """The text with everything of the reader's own in its place."""
        for pattern, own in self.written.items():
            text = re.sub(pattern, own, text)
        return text

    def python(self, text: str, page: str) -> None:
        """Run it in the names of the page's earlier blocks."""
        exec(compile(self.filled_in(text), page, "exec"), self.names)

    def shell(self, text: str) -> None:
        """Run each command; each must end with 0."""
        for command in re.sub(r"\\\n\s*", " ", self.filled_in(text)).splitlines():
            words = shlex.split(command, comments=True)
            if words[:1] == ["export"]:
                name, _, value = words[1].partition("=")
                self.environment[name] = value
            elif words[:1] == ["windtunnel"] and "|" not in words:
                self._windtunnel(words[1:])
            elif words:
                self._run(command)

    def _windtunnel(self, words: list[str]) -> None:
        """The command line within this process: a process of its own would take most of a second."""
        if words[0] == "submit" and "-" not in words:
            words += [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
        done = CliRunner().invoke(app, words, env=self.environment)
        assert done.exit_code == 0, f"windtunnel {shlex.join(words)}: {done.output}\n{done.exception!r}"
        made = re.search(r"\bkey_\w{20,}", done.output)
        if made and words[:2] == ["keys", "create"]:
            self.written[r"\bkey_01\w+"] = made[0]

    def _run(self, command: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        if command.startswith("curl"):
            assert '"status":4' not in done.stdout and '"status":5' not in done.stdout, f"{command}: {done.stdout}"


@pytest.fixture(scope="module")
def pages_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the real service with two real workers."""
    folder = tmp_path_factory.mktemp("service")
    settings = ServiceSettings(data_dir=folder, event_poll=0.02)
    schema.upgrade(settings.url)
    database = Database(settings.url)
    dispatcher = LocalDispatcher(database, WorkerSettings(data_dir=folder, threads=1, poll=0.05, slots=2))
    with background(create_app(settings, database=database, dispatcher=dispatcher)) as url:
        yield url
    database.dispose()


@pytest.fixture(scope="module")
def ended_job(pages_service: str) -> dict[str, str]:
    """An ended job with a plan, and a fit: what a page goes on from."""
    with Client(pages_service) as client:
        grid = {"widths": [8, 16, 32, 64], "steps": [4, 16, 40, 100], "seeds": 1}
        made = client.jobs.create(task="digits", **SMALL_SPEC, target={"width": 64}, transfer={"scaling": grid})
        fit = client.laws.fit(columns=columns_of_runs(), laws=["hoffmann"])
        made.wait(progress=False)
        return {"job": made.id, "plan": made.refresh().plans[-1], "fit": fit.id}


def columns_of_runs() -> dict[str, list[float]]:
    """Runs on a grid of sizes and data, of a known law."""
    grid = [(n, d) for n in (1e6, 4e6, 1.6e7, 6.4e7) for d in (1e8, 1e9, 1e10)]
    return {
        "parameters": [n for n, _ in grid],
        "tokens": [d for _, d in grid],
        "loss": [1.7 + 400 / n**0.34 + 410 / d**0.28 for n, d in grid],
    }


def csv(columns: dict[str, list[float]]) -> str:
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(f"{value:.10g}" for value in row) for row in rows)]) + "\n"


@pytest.fixture
def reader(pages_service: str, ended_job: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A folder with what the pages take for granted."""
    monkeypatch.chdir(tmp_path)
    houses = "area,age,price\n" + "".join(f"{40 + i},{i * 7 % 90},{3000 * i - i * 7 % 90}\n" for i in range(80))
    spec = {"task": "digits", **SMALL_SPEC, "search": [{"name": "learning_rate", "scope": "role"}]}
    curves = {
        "parameters": [n for n in (1e6, 1e7, 1e8) for _ in range(12)],
        "batch_size": [b for b in (1e4, 4e4, 1.6e5) for _ in range(4)] * 3,
        "steps": [500, 1000, 4000, 16000] * 9,
    }
    rows = zip(*curves.values(), strict=True)
    losses = [1.7 + 400 / n**0.34 + (400 / s) ** 0.7 * (1 + 2e4 / b) for n, b, s in rows]
    for name, text in {
        "houses.csv": houses,
        "spec.yaml": yaml.safe_dump(spec),
        "values.yaml": yaml.safe_dump({"learning_rate": 0.01, "weight_decay": 0.1}),
        "runs.csv": csv(columns_of_runs()),
        "curves.csv": csv({**curves, "loss": losses}),
        "my_package/model.py": MODULE,
        ".venv/bin/activate": "",
        "bin/windtunnel": f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m windtunnel "$@"\n',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "bin" / "windtunnel").chmod(0o755)
    (tmp_path / "data").mkdir()
    schema.upgrade(f"sqlite:///{tmp_path / 'data' / 'windtunnel.db'}")
    with Client(pages_service) as client:
        dataset = client.datasets.upload("houses.csv", target="price").id
    environment = {
        "WINDTUNNEL_URL": pages_service,
        "WINDTUNNEL_DATA_DIR": str(tmp_path / "data"),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    written = {
        r"\bPLAN_ID\b": ended_job["plan"],
        r"\b(ID|JOB)\b|\bjob_01kan0+a|\bjob_01KAN\.\.\.": ended_job["job"],
        r"\bds_33\w+|\bDATASET\b": dataset,
        r"https://tunnel\.example": pages_service,
        r"wt_\.\.\.": "",
        "--base 256 --width 4096": "--base 64 --width 256",
        r"\blaw_01\w+": ended_job["fit"],
        r"(http://)?(127\.0\.0\.1|localhost):8000": pages_service,
    }
    return Reader(tmp_path, environment, written, {"__name__": "page"})
