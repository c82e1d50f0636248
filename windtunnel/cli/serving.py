"""``serve`` and ``worker``: the programs that run on and on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from windtunnel.cli import output
from windtunnel.cli.databases import upgrade, without_password
from windtunnel.cli.exits import ExitCode, SetupError, SpecError
from windtunnel.cli.extras import need
from windtunnel.cli.options import DatabaseUrl, DataDir, Slots, Threads

if TYPE_CHECKING:
    from store.settings import StoreSettings
    from workers.local import LocalDispatcher

Kind = TypeVar("Kind", bound="StoreSettings")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(serve)
    app.command("worker")(worker)


def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option(help="Loopback address to listen on. Default: WINDTUNNEL_HOST, else 127.0.0.1.", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port; 0 takes a free one. Default: WINDTUNNEL_PORT, else 8000.", show_default=False
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    workers: Slots = None,
    threads: Threads = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Only the service; jobs are run by `windtunnel worker` elsewhere.")
    ] = False,
) -> None:
    """Run the service, its status page and workers on this machine. Needs no other service.

    Creates or upgrades the database first. Ctrl-C or SIGTERM ends it in order: running jobs keep their
    checkpoint and go on when it is started again. Options left out are read from WINDTUNNEL_ variables.

    \b
    Examples:
      windtunnel serve
      windtunnel serve --port 9000 --data-dir /var/lib/windtunnel --workers 2
      windtunnel serve --no-worker --database-url postgresql://user@db/windtunnel
    """
    if no_worker and (workers is not None or threads is not None):
        raise typer.BadParameter(
            "--workers and --threads are for workers; --no-worker wants none", param_hint="--no-worker"
        )
    if no_worker:
        need("serve --no-worker", "server")
    else:
        need("serve", "server", "worker", otherwise="; or serve without workers: windtunnel serve --no-worker")
    from service.serve import AddressUnavailableError, run
    from service.settings import ServiceSettings

    settings = _read(ServiceSettings, host=host, port=port, data_dir=data_dir, database_url=database_url)
    _need_driver(settings)
    with _embedded(data_dir, database_url, workers, threads, wanted=not no_worker) as dispatcher:
        upgrade(settings.url)
        _log(settings)
        try:
            run(settings, dispatcher)
        except AddressUnavailableError as error:
            raise SetupError(str(error)) from error


def worker(
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    workers: Slots = None,
    threads: Threads = None,
) -> None:
    """Run jobs for a service that runs elsewhere. Database and data folder must be the service's own.

    Ctrl-C or SIGTERM ends it in order: running jobs keep their checkpoint and go on with another worker.

    \b
    Examples:
      windtunnel worker --data-dir /var/lib/windtunnel
      windtunnel worker --database-url postgresql://user@db/windtunnel --data-dir /shared/windtunnel --workers 2
    """
    need("worker", "worker")
    from workers.main import run
    from workers.settings import WorkerSettings

    settings = _read(WorkerSettings, slots=workers, threads=threads, data_dir=data_dir, database_url=database_url)
    _need_driver(settings)
    upgrade(settings.url)
    _log(settings)
    if run(settings) != 0:
        raise typer.Exit(ExitCode.SERVER)


@contextmanager
def _embedded(
    data_dir: Path | None, database_url: str | None, workers: int | None, threads: int | None, *, wanted: bool
) -> Iterator["LocalDispatcher | None"]:
    """The workers of this machine, not started yet; None where they are not wanted."""
    if not wanted:
        yield None
        return
    from store.database import Database
    from workers.local import LocalDispatcher
    from workers.settings import WorkerSettings

    settings = _read(WorkerSettings, slots=workers, threads=threads, data_dir=data_dir, database_url=database_url)
    database = Database(settings.url)
    try:
        yield LocalDispatcher(database, settings)
    finally:
        database.dispose()


def _read(kind: type[Kind], **given: Path | str | int | None) -> Kind:
    """Settings from the environment, options first.

    Raises:
        SpecError: one is malformed.
    """
    from store.errors import SettingsError
    from store.settings import read

    try:
        return read(kind, **given)
    except SettingsError as error:
        raise SpecError(str(error)) from error


def _need_driver(settings: "StoreSettings") -> None:
    if settings.url.startswith("postgres"):
        need("with a PostgreSQL database", "postgresql")


def _log(settings: "StoreSettings") -> None:
    """What the server and the workers say goes to standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    for name in ("windtunnel", "workers"):
        logging.getLogger(name).setLevel(logging.INFO)
    output.say(
        f"database {without_password(settings.url)}, files in {settings.data_dir.absolute()}; Ctrl-C ends", style="dim"
    )
