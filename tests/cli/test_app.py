"""The command tree: help that teaches, exit codes, entry points."""

import subprocess
import sys

import pytest

from windtunnel import __version__
from windtunnel.cli.app import app
from windtunnel.cli.exits import MEANINGS

COMMANDS = [command.name for command in app.registered_commands]


def test_the_commands_are_there():
    expected = (
        "serve worker submit fork estimate list show follow pause resume cancel bundle plan "
        "coordcheck roles workers drain doctor"
    )
    assert expected.split() == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(run, command):
    help_text = run(command, "--help").stdout
    assert f"Usage: windtunnel {command}" in help_text
    assert "Examples:\n" in help_text
    assert f"\n    windtunnel {command}" in help_text


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
