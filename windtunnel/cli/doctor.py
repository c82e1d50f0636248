"""``doctor``: checks an installation, and says what to do."""

from dataclasses import asdict

import typer
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.checks import findings
from windtunnel.cli.exits import ExitCode
from windtunnel.cli.options import AsJson, Url

COLOURS = {"ok": "green", "warn": "yellow", "problem": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(as_json: AsJson = False, url: Url = None) -> None:
    """Check this installation: packages, torch, settings, database, disk, port, server. Changes nothing.

    Each line says ok, warn or problem, and what to do. Exit code 1 if there is a problem.

    \b
    Examples:
      windtunnel doctor
      windtunnel doctor --json | jq '.[] | select(.status == "problem")'
    """
    found = list(findings(url))
    if as_json:
        output.print_json([asdict(finding) for finding in found])
    else:
        rows = [
            (
                Text(finding.status, style=COLOURS[finding.status]),
                finding.name,
                finding.message + (f"\n-> {finding.remedy}" if finding.remedy else ""),
            )
            for finding in found
        ]
        output.show(output.table(("", "", ""), rows))
    if any(finding.status == "problem" for finding in found):
        raise typer.Exit(ExitCode.NEGATIVE)
