"""``delete`` and ``laws list`` against a real server."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.client import Client

CSV = "N,loss\n" + "".join(f"{10.0**n},{2 + 100 * 10 ** (-0.3 * n)}\n" for n in range(4, 10))


def ended(url: str, name: str) -> str:
    with Client(url) as client:
        return client.jobs.create(task="digits", name=name).cancel().id


def answered(answer: str, *arguments: str) -> tuple[int, str]:
    """Exit code and messages of a command that is answered on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "windtunnel", *arguments], stdin=theirs, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    os.write(ours, answer.encode())
    _, said = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return process.returncode, said


def test_a_terminal_is_asked_once_and_told_what_is_lost(ask_idle, idle):
    job = ended(idle, "old flight")
    code, said = answered("n\n", "delete", job[-6:])
    assert code == 0 and "nothing was deleted" in said
    assert "old flight, cancelled" in said and "checkpoints" in said and said.count("Delete?") == 1
    assert ask_idle("show", job).exit_code == 0
    code, said = answered("y\n", "delete", job[-6:])
    assert code == 0 and f"{job} is deleted" in said
    assert ask_idle("show", job).exit_code == 4


def test_a_pipe_must_say_that_it_means_it(ask_idle, idle):
    job, other = ended(idle, "a"), ended(idle, "b")
    refused = ask_idle("delete", job)
    assert refused.exit_code == 2 and "--yes" in refused.stderr
    done = ask_idle("delete", job, other, job, "--yes", "--json")
    assert json.loads(done.stdout) == [{"id": job, "deleted": True}, {"id": other, "deleted": True}]


@pytest.mark.parametrize("wrong", ["living", "job_00000000000000000000000000"])
def test_nothing_is_deleted_where_one_of_several_cannot_be(ask_idle, idle, queued, wrong):
    job = ended(idle, "kept")
    refused = ask_idle("delete", job, queued if wrong == "living" else wrong, "--yes")
    assert refused.exit_code == 4
    assert ask_idle("show", job).exit_code == 0


def test_a_plan_and_a_fit_are_listed_and_deleted(ask, finished, tmp_path: Path):
    plan = json.loads(ask("plan", finished, "--width", "32", "--force", "--json").stdout)["id"]
    table = tmp_path / "runs.csv"
    table.write_text(CSV)
    fit = json.loads(ask("laws", "fit", str(table), "--json").stdout)["id"]
    first = json.loads(ask("laws", "list", "--json").stdout)[0]
    assert (first["id"], first["name"], first["rows"]) == (fit, "runs", 6)
    assert fit in ask("laws", "list").stdout
    assert ask("delete", plan, fit, "--yes").stderr == f"{plan} is deleted\n{fit} is deleted\n"
    assert ask("plan", plan).exit_code == 4
    assert fit not in ask("laws", "list", "--json").stdout
