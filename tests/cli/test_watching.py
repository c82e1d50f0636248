"""The live view, on a real terminal."""

import os
import pty
import subprocess
import sys

import pytest

from windtunnel.cli.watching import step_line
from windtunnel.types import OuterStep


def on_a_terminal(*args: str, url: str) -> tuple[int, str]:
    """Exit status and what was written to a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"WINDTUNNEL_URL": url, "COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-m", "windtunnel", *args], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # Linux says so where the other end has been closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    return process.wait(60), written.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_follow_on_a_terminal_shows_a_bar_and_the_hyperparameters(server, finished):
    status, text = on_a_terminal("follow", finished, url=server.url)
    assert status == 0
    for part in ("done", "100%", "learning_rate.hidden", "best (step"):
        assert part in text


def test_a_step_whose_runs_all_diverged_has_a_line_without_a_loss():
    step = OuterStep(
        outer_step=2,
        outer_steps=5,
        loss=None,
        stderr=0.0,
        seeds=0,
        dropped_members=4,
        hyperparameters={"learning_rate": 0.5},
        gradient={"learning_rate": 0.0},
        gradient_norm=0.0,
        bounded_share=None,
        mean_scale=None,
        step_length=0.0,
        moved=True,
        rolled_back=True,
        run_equivalents=40.0,
    )
    assert step_line(step) == "step 2/5 every run diverged cost 40.0 learning_rate=0.5"
    assert step_line(step.model_copy(update={"loss": 0.25})) == "step 2/5 loss 0.25 cost 40.0 learning_rate=0.5"
    several = step.model_copy(update={"starts": 3, "leader": 1})
    assert step_line(several) == "step 2/5 every run diverged cost 40.0 starts 3 leader 1 learning_rate=0.5"
