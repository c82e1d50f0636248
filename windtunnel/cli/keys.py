"""``keys``: make, list and revoke API keys, at a server or in its database, where the first key is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol

import typer

from windtunnel.cli import output
from windtunnel.cli.databases import settings, upgrade
from windtunnel.cli.exits import SetupError, SpecError
from windtunnel.cli.options import AsJson, DatabaseUrl, DataDir
from windtunnel.client import Client, OperatorsOnly
from windtunnel.types import ApiKey, NewApiKey

HELP = """API keys of a server. With --url these commands ask the server, with the key in WINDTUNNEL_API_KEY; an operator's
key manages the keys of every owner. Without it they work on the server's database, where it runs: so the first key is made.

Once the first key is made, the server refuses every request without a key. Each key has an owner; owners see only their
own jobs and plans.
"""

keys = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)

Server = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Ask the server at this address, such as http://127.0.0.1:8000. Default: work on the database itself.",
        show_default=False,
    ),
]


class KeyRing(Protocol):
    """Keys of a server: of its database, or as it lets the caller manage them."""

    def create(self, name: str, owner: str | None, operator: bool) -> NewApiKey:
        """Make a key."""

    def list(self, owner: str | None) -> list[ApiKey]:
        """Keys of the owner; None: of everybody whose keys may be seen."""

    def revoke(self, key_id: str) -> ApiKey:
        """End a key."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys")


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Purpose of the key, such as the machine that will hold it.")] = "unnamed",
    *,
    owner: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Owner whose jobs the key opens. Default: at a server the caller, else 'local', who owns the jobs made "
            "without a key.",
            show_default=False,
        ),
    ] = None,
    operator: Annotated[
        bool,
        typer.Option(
            "--operator",
            help="The key may also drain workers, read the fleet's metrics and, at the server, manage keys of others.",
        ),
    ] = False,
    as_json: AsJson = False,
    url: Server = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a key and print it. It is shown only once: the server keeps only its digest.

    \b
    Examples:
      windtunnel keys create laptop --owner ann
      export WINDTUNNEL_API_KEY=$(windtunnel keys create ci --owner ci)
      windtunnel keys create laptop --owner ann --url https://tunnel.example
    """
    for what, text in (("name", name), ("owner", owner or "local")):
        if not (text.strip() == text and 1 <= len(text) <= 200 and text.isprintable()):
            raise SpecError(f"{what} {text!r} is not allowed; give 1 to 200 printable characters, no space at the ends")
    with _ring(url, data_dir, database_url) as ring:
        made = ring.create(name, owner, operator)
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
    url: Server = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List keys, revoked ones included, without their secrets.

    \b
    Examples:
      windtunnel keys list --owner ann
      windtunnel keys list --url https://tunnel.example
    """
    with _ring(url, data_dir, database_url) as ring:
        found = ring.list(owner)
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
    url: Server = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Revoke a key: its next request is refused. The server asks for keys even after the last one is revoked.

    \b
    Examples:
      windtunnel keys revoke key_01KAN...
    """
    with _ring(url, data_dir, database_url) as ring:
        ended = ring.revoke(key_id)
    if as_json:
        output.print_json(ended.model_dump(mode="json"))
    else:
        output.say(f"{ended.id} of {ended.owner} is revoked")


@contextmanager
def _ring(url: str | None, data_dir: Path | None, database_url: str | None) -> Iterator[KeyRing]:
    """Context with the keys at a server, or with those in a database, created or upgraded first."""
    if url is not None:
        if data_dir is not None or database_url is not None:
            raise typer.BadParameter("a server or its database, not both", param_hint="--url")
        with Client(url) as client:
            yield AtServer(client)
        return
    found = settings("keys", data_dir, database_url)
    from store.database import Database
    from store.dialect import parse_url
    from windtunnel.cli.stored_keys import InDatabase

    file = parse_url(found.url)
    folder = Path(str(file.database)).absolute().parent if file.get_backend_name() == "sqlite" else None
    if folder is not None and not folder.is_dir():
        raise SetupError(
            f"there is no folder {folder}, so no server keeps its database there. Name the server's with --data-dir or "
            f"WINDTUNNEL_DATA_DIR; if the server is still to be started there, make the folder first: mkdir -p {folder}; "
            "to ask a server that runs elsewhere, give its address: --url URL"
        )
    upgrade(found.url)
    database = Database(found.url)
    try:
        yield InDatabase(database)
    finally:
        database.dispose()


class AtServer:
    """The keys that a server lets the caller manage."""

    def __init__(self, client: Client) -> None:
        self._keys = client.keys

    def create(self, name: str, owner: str | None, operator: bool) -> NewApiKey:
        """Make a key; without an owner one's own, with an operator's rights only where they are asked for."""
        return self._keys.create(name, owner=owner, operator=operator)

    def list(self, owner: str | None) -> list[ApiKey]:
        """Keys of the owner; None: of everybody for an operator, else the caller's own."""
        if owner is not None:
            return self._keys.list(owner=owner)
        try:
            return self._keys.list(everybody=True)
        except OperatorsOnly:
            return self._keys.list()

    def revoke(self, key_id: str) -> ApiKey:
        """End a key."""
        return self._keys.revoke(key_id)
