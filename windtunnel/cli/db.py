"""``db``: upgrade the database to this version's schema, or print which schema it has."""

from typing import TYPE_CHECKING

import typer

from windtunnel.cli import databases, output
from windtunnel.cli.databases import without_password
from windtunnel.cli.exits import ExitCode
from windtunnel.cli.options import AsJson, DatabaseUrl, DataDir

if TYPE_CHECKING:
    from windtunnel.cli.databases import Revisions

HELP = """The schema of the server's database. `serve`, `worker` and `keys` upgrade it when they start.

Run it as a step of its own before servers and workers that start together, or that may not change the schema.
"""

db = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(db, name="db")


@db.command("upgrade")
def upgrade(*, as_json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Upgrade the database to this version's schema, or create it. Safe to repeat and to run several at a time.

    \b
    Examples:
      windtunnel db upgrade --data-dir /var/lib/windtunnel
      windtunnel db upgrade --database-url postgresql://user@db/windtunnel
    """
    url = databases.settings("db upgrade", data_dir, database_url).url
    before = databases.revisions(url)
    databases.upgrade(url)
    after = databases.revisions(url)
    if as_json:
        output.print_json({"before": before.found, "after": after.found})
    elif before.found == after.found:
        output.say(f"{without_password(url)} has schema {after.found} already")
    else:
        output.say(f"{without_password(url)}: schema {before.found or 'none'} is now {after.found}")


@db.command("current")
def current(*, as_json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Print which schema the database has, and change nothing. Exit code 1 if it is not this version's.

    \b
    Examples:
      windtunnel db current || windtunnel db upgrade
    """
    url = databases.settings("db current", data_dir, database_url).url
    seen = databases.revisions(url)
    if as_json:
        output.print_json({"current": seen.found, "newest": seen.newest, "up_to_date": seen.found == seen.newest})
    else:
        typer.echo(seen.found or "none")
        output.say(_in_words(seen), style="dim")
    if seen.found != seen.newest:
        raise typer.Exit(ExitCode.NEGATIVE)


def _in_words(seen: "Revisions") -> str:
    if seen.found == seen.newest:
        return "this version's schema"
    return f"this version's schema is {seen.newest}; `windtunnel db upgrade` upgrades to it"
