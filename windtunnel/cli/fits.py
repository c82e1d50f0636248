"""``laws list``: lists the scaling-law fits that a server keeps."""

from itertools import islice
from typing import Annotated

import typer

from windtunnel.cli import output
from windtunnel.cli.options import AsJson, Url
from windtunnel.client import Client


def list_fits(
    limit: Annotated[int, typer.Option(min=1, help="Number of fits at most.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the fits that the server keeps, newest first; `windtunnel delete law_...` deletes one.

    \b
    Examples:
      windtunnel laws list
      windtunnel laws list --json | jq -r '.[].id'
    """
    with Client(url) as client:
        fits = list(islice(client.laws.list(), limit + 1))
    more, fits = len(fits) > limit, fits[:limit]
    if as_json:
        output.print_json([each.model_dump(mode="json") for each in fits])
        return
    if not fits:
        output.say("no fits; make one: windtunnel laws fit FILE.csv", style="dim")
        return
    rows = [
        (each.id, each.name, f"{each.rows:,}", ", ".join(each.laws), f"{each.created_at:%Y-%m-%d %H:%M}") for each in fits
    ]
    output.show(output.table(("id", "name", "rows", "laws", "made (UTC)"), rows, right=("rows",)))
    if more:
        output.say(f"there are more than {limit}; see more with --limit {4 * limit}", style="dim")
