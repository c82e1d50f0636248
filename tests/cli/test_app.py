"""The command tree: help that teaches, exit codes, entry points."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from windtunnel import __version__
from windtunnel.cli.app import app
from windtunnel.cli.exits import MEANINGS
from windtunnel.client import Pacing

COMMANDS = [command.name for command in app.registered_commands]


def test_the_commands_are_there():
    expected = (
        "serve worker submit fork estimate list show follow pause resume cancel label bundle report compare export delete "
        "plan carry coordcheck roles workers drain mcp doctor"
    )
    assert expected.split() == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(run, command):
    help_text = run(command, "--help").stdout
    assert f"Usage: windtunnel {command}" in help_text
    assert "Examples:\n" in help_text
    assert f"\n    windtunnel {command}" in help_text


def leaves(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its path."""
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    for name, inside in command.commands.items():
        yield from leaves(inside, *path, name)


LEAVES = dict(leaves(get_command(app)))


def test_every_command_that_answers_can_answer_in_json():
    silent = {name for name, command in LEAVES.items() if not any("--json" in each.opts for each in command.params)}
    # These run until they are stopped; what they say is a log, as JSON with WINDTUNNEL_LOG_FORMAT.
    assert silent == {"serve", "worker", "mcp"}


OF_ONE = [
    "show",
    "follow",
    "pause",
    "resume",
    "cancel",
    "bundle",
    "fork",
    "drain",
    "datasets show",
    "datasets delete",
    "delete",
    "report",
]
ASKING = [
    "submit --task digits",
    "estimate --task digits",
    "list",
    "workers",
    "datasets list",
    "laws allocate --flops 1e20",
]
ASKING += ["laws allocate --flops 1e20", *(f"{command} {{}}" for command in OF_ONE), "plan {} --width 64"]


@pytest.mark.parametrize("line", ASKING)
def test_a_command_that_asks_a_server_ends_in_3_without_one(run, line, monkeypatch):
    monkeypatch.setattr("windtunnel.client._client.Pacing", lambda: Pacing(retries=0))
    done = run(*line.format("x_1").split(), "--url", "http://127.0.0.1:9")
    assert (done.exit_code, done.stdout) == (3, ""), done.output
    assert "windtunnel serve" in done.stderr


@pytest.mark.parametrize("line", [line for line in ASKING if "{}" in line])
@pytest.mark.parametrize("extra", ["", " --json"])
def test_an_unknown_id_ends_in_4_and_leaves_standard_output_empty(ask_idle, line, extra):
    done = ask_idle(*(line.format("x_1") + extra).split())
    assert (done.exit_code, done.stdout) == (4, ""), done.output
    assert "x_1" in done.stderr


def complete(*words: str, **environment: str) -> list[str]:
    """What a shell would offer after these words."""
    asked = {"_WINDTUNNEL_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    program = [sys.executable, "-m", "windtunnel"]
    done = subprocess.run(program, capture_output=True, text=True, env={**os.environ, **asked, **environment})
    assert done.stderr == ""
    return done.stdout.split()


def test_the_shell_completes_commands_options_values_tasks_and_jobs(idle, queued):
    assert complete("windtunnel", "su") == ["submit"]
    assert complete("windtunnel", "laws", "al") == ["allocate"]
    assert complete("windtunnel", "fork", "x", "--from") == ["--from-best"]
    assert complete("windtunnel", "list", "--state", "can") == ["cancelled"]
    assert complete("windtunnel", "submit", "--task", "dig") == ["digits"]
    assert queued in complete("windtunnel", "show", "job_", WINDTUNNEL_URL=idle)
    assert complete("windtunnel", "show", "job_", WINDTUNNEL_URL="http://127.0.0.1:9") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_is_installed_for_the_shell_that_one_is_in(tmp_path):
    windtunnel = f"{sys.prefix}/bin/windtunnel"
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
    install = f"{windtunnel} --install-completion; exit $?"
    done = subprocess.run(["bash", "-c", install], capture_output=True, text=True, env=environment)
    assert (done.returncode, "bash completion installed" in done.stdout) == (0, True), done.stderr
    # A new shell reads it, and asks the command.
    typed = (
        "source ~/.bashrc; complete -p windtunnel; COMP_WORDS=(windtunnel canc); COMP_CWORD=1; _windtunnel_completion "
        "windtunnel; echo ${COMPREPLY[@]}"
    )
    shell = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, env=environment)
    assert shell.stdout.splitlines()[-1] == "cancel", shell.stderr
    assert "_windtunnel_completion windtunnel" in shell.stdout


def test_the_help_names_every_command_and_exit_code(run):
    help_text = run("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command}" in help_text
    for code, meaning in MEANINGS.items():
        assert f"{code}  {meaning}" in help_text


def test_no_command_shows_the_help(run):
    assert "Examples:" in run().output


@pytest.mark.parametrize(
    "args", [("fly",), ("list", "--stat"), ("show",), ("list", "--state", "done"), ("list", "--limit", "0"), ("submit",)]
)
def test_wrong_usage_ends_in_2(run, args):
    done = run(*args)
    assert done.exit_code == 2
    assert done.stdout == ""


def test_no_server_ends_in_3_and_says_how_to_start_one(run, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    done = run("list", "--url", "http://127.0.0.1:9")
    assert done.exit_code == 3
    assert "windtunnel serve" in done.stderr


def test_an_address_that_is_none_ends_in_2(run):
    done = run("list", "--url", "localhost")
    assert done.exit_code == 2
    assert "http://127.0.0.1:8000" in done.stderr


@pytest.mark.parametrize("program", [[sys.executable, "-m", "windtunnel"], [f"{sys.prefix}/bin/windtunnel"]])
def test_both_entry_points_tell_the_version(program):
    done = subprocess.run([*program, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"windtunnel {__version__}\n")


@pytest.mark.parametrize("args", ["--help", "submit --help", "serve --help"])
def test_help_loads_nothing_heavy(args):
    program = f"import sys, windtunnel.cli\nsys.argv[1:] = {args.split()}\ntry:\n    windtunnel.cli.main()\nfinally:\n"
    program += "    print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert "typer" in loaded
    assert not loaded & {"torch", "sqlalchemy", "fastapi", "numpy", "plotly", "hpo", "store", "service", "workers"}
