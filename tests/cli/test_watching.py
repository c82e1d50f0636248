"""The live view, on a real terminal."""

import os
import pty
import subprocess
import sys

import pytest


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
