"""``compare``: several jobs side by side."""

from typing import Annotated

import typer
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.completing import job_ids
from windtunnel.cli.options import AsJson, Url
from windtunnel.client import Client
from windtunnel.types.comparisons import FEWEST_POINTS, Comparison, Difference, shown

MOST_SHARES = 5
"""Hyperparameters whose importance is printed for each job."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    jobs: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="Ids of up to 8 jobs, or their last 4 characters or more, as pages show them.",
            show_default=False,
            autocompletion=job_ids,
        ),
    ],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Compare jobs: what each measured and found, where their specs differ, which hyperparameters mattered.

    With --json: also the curves over cost and every point tried.

    \b
    Examples:
      windtunnel compare pw1vf308 d3xxg7sc
      windtunnel compare pw1vf308 d3xxg7sc --json | jq '.items[].importances'
    """
    with Client(url) as client:
        found = client.jobs.compare(*[client.jobs.find(each) for each in jobs])
    if as_json:
        output.print_json(found.model_dump(mode="json"))
        return
    names = found.names
    output.show(
        output.table(("", *names), [_row(row) for row in found.results if _has_value(row)], right=names),
        *([Text()] if found.spec else []),
        *([output.table(("spec", *names), map(_row, found.spec), right=names)] if found.spec else []),
        Text(),
        output.table(("importance", ""), _shares(found)),
    )


def _row(row: Difference) -> tuple[str, ...]:
    return (row.name, *map(shown, row.values))


def _has_value(row: Difference) -> bool:
    return any(value is not None for value in row.values)


def _shares(found: Comparison) -> list[tuple[str, str]]:
    return [
        (
            name,
            f"too few points: {FEWEST_POINTS} with a loss are needed"
            if each.importances is None
            else ", ".join(f"{label} {share:.0%}" for label, share in list(each.importances.items())[:MOST_SHARES]),
        )
        for name, each in zip(found.names, found.items, strict=True)
    ]
