"""``keys``: make, list and revoke API keys in the database itself, so that the first key can be made."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windtunnel.cli import output
from windtunnel.cli.databases import settings, upgrade
from windtunnel.cli.exits import SetupError, SpecError
from windtunnel.cli.options import AsJson, DatabaseUrl, DataDir

if TYPE_CHECKING:
    from store.database import Database

HELP = """API keys of the server. These commands work on its database, so run them where the server runs.

Once the first key is made, the server refuses every request without a key. Each key has an owner; owners see only their
own jobs and plans.
"""

keys = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys")


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Purpose of the key, such as the machine that will hold it.")] = "unnamed",
    *,
    owner: Annotated[
        str, typer.Option(metavar="NAME", help="Owner whose jobs the key opens; 'local' owns the jobs made without a key.")
    ] = "local",
    operator: Annotated[
        bool, typer.Option("--operator", help="The key may also drain workers and read the fleet's metrics.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a key and print it. It is shown only once: the server keeps only its digest.

    \b
    Examples:
      windtunnel keys create laptop --owner ann
      export WINDTUNNEL_API_KEY=$(windtunnel keys create ci --owner ci)
    """
    for what, text in (("name", name), ("owner", owner)):
        if not (text.strip() == text and 1 <= len(text) <= 200 and text.isprintable()):
            raise SpecError(f"{what} {text!r} is not allowed; give 1 to 200 printable characters, no space at the ends")
    with _database(data_dir, database_url) as database:
        from store import keys as stored
        from store.errors import TooManyKeys

        try:
            with database.transaction() as session:
                made = stored.create(session, name, owner=owner, operator=int(operator))
        except TooManyKeys as error:
            raise SpecError(f"owner {owner!r}: {error}") from error
    if as_json:
        output.print_json(made.model_dump(mode="json"))
        return
    typer.echo(made.key)
    output.say(f"{made.id} of {made.owner}; keep the key now, it cannot be shown again", style="dim")


@keys.command("list")
def list_keys(
    *,
    owner: Annotated[str | None, typer.Option(metavar="NAME", help="Only keys of this owner.", show_default=False)] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List keys, revoked ones included, without their secrets.

    \b
    Examples:
      windtunnel keys list --owner ann
    """
    with _database(data_dir, database_url) as database:
        from store import keys as stored

        with database.snapshot() as session:
            found = stored.everybodys(session) if owner is None else stored.listing(session, owner=owner)
    if as_json:
        output.print_json([key.model_dump(mode="json") for key in found])
        return
    if not found:
        output.say("no keys: the server answers only this machine" if owner is None else f"no keys of {owner}", style="dim")
        return
    rows = [
        (
            key.id,
            key.owner,
            key.name,
            f"{key.prefix}...",
            "operator" if key.operator else "owner",
            "never" if key.used_at is None else f"{key.used_at:%Y-%m-%d %H:%M}",
            "in use" if key.revoked_at is None else f"revoked {key.revoked_at:%Y-%m-%d %H:%M}",
        )
        for key in found
    ]
    output.show(output.table(("id", "owner", "name", "key", "rights", "last used (UTC)", "state"), rows))


@keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `windtunnel keys list` shows it.")],
    *,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Revoke a key: its next request is refused. The server asks for keys even after the last one is revoked.

    \b
    Examples:
      windtunnel keys revoke key_01KAN...
    """
    with _database(data_dir, database_url) as database:
        from store import keys as stored
        from store.errors import KeyNotFound

        try:
            with database.transaction() as session:
                ended = stored.revoke_anybodys(session, key_id)
        except KeyNotFound as error:
            raise SpecError(f"there is no key {key_id!r}; `windtunnel keys list` shows them") from error
    if as_json:
        output.print_json(ended.model_dump(mode="json"))
    else:
        output.say(f"{ended.id} of {ended.owner} is revoked")


@contextmanager
def _database(data_dir: Path | None, database_url: str | None) -> Iterator["Database"]:
    """Context with the server's database, created or upgraded first."""
    found = settings("keys", data_dir, database_url)
    from store.database import Database
    from store.dialect import parse_url

    file = parse_url(found.url)
    folder = Path(str(file.database)).absolute().parent if file.get_backend_name() == "sqlite" else None
    if folder is not None and not folder.is_dir():
        raise SetupError(
            f"there is no folder {folder}, so no server keeps its database there. Name the server's with --data-dir or "
            f"WINDTUNNEL_DATA_DIR; if the server is still to be started there, make the folder first: mkdir -p {folder}"
        )
    upgrade(found.url)
    database = Database(found.url)
    try:
        yield database
    finally:
        database.dispose()
