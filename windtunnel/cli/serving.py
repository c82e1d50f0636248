"""``serve`` and ``worker``: run the service, and run workers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from windtunnel.cli import output
from windtunnel.cli.databases import upgrade, without_password
from windtunnel.cli.exits import ExitCode, SetupError, SpecError
from windtunnel.cli.extras import need
from windtunnel.cli.options import BrokerUrl, DatabaseUrl, DataDir, Devices, Slots, Threads

if TYPE_CHECKING:
    from store.settings import StoreSettings
    from workers.dispatching import Dispatcher
    from workers.settings import WorkerSettings

Kind = TypeVar("Kind", bound="StoreSettings")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(serve)
    app.command("worker")(worker)


def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on; only loopback until a key was made. Default: WINDTUNNEL_HOST, else 127.0.0.1.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port; 0 takes a free one. Default: WINDTUNNEL_PORT, else 8000.", show_default=False
        ),
    ] = None,
    root_path: Annotated[
        str | None,
        typer.Option(
            help="Path under which a proxy serves this server: /tunnel. Default: WINDTUNNEL_ROOT_PATH, else "
            "X-Forwarded-Prefix of a proxy on this machine.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    workers: Slots = None,
    threads: Threads = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Run only the service; `windtunnel worker` runs the jobs elsewhere.")
    ] = False,
    broker_url: BrokerUrl = None,
) -> None:
    """Run the service, its status page and workers on this machine. Needs no other service.

    With a broker the service runs no jobs itself: it wakes `windtunnel worker --celery` through the broker.

    Creates or upgrades the database first. Ctrl-C or SIGTERM stops it cleanly: running jobs keep their
    checkpoint and continue at the next start. Options left out are read from WINDTUNNEL_ variables.

    \b
    Examples:
      windtunnel serve
      windtunnel serve --port 9000 --data-dir /var/lib/windtunnel --workers 2
      windtunnel serve --host 0.0.0.0   (after `windtunnel keys create`)
      windtunnel serve --root-path /tunnel   (behind https://host/tunnel/)
      windtunnel serve --no-worker --database-url postgresql://user@db/windtunnel
      windtunnel serve --broker-url redis://redis:6379/0 --database-url postgresql://user@db/windtunnel
    """
    if no_worker and (workers is not None or threads is not None):
        raise typer.BadParameter(
            "--workers and --threads are for workers, which --no-worker leaves out", param_hint="--no-worker"
        )
    if no_worker:
        need("serve --no-worker", "server")
    else:
        need("serve", "server", "worker", otherwise="; or serve without workers: windtunnel serve --no-worker")
    if no_worker and broker_url is not None:
        raise typer.BadParameter("--no-worker sends nothing to a broker; leave it out, or leave out --broker-url")
    from service.serve import AddressUnavailableError, OpenToAllError, run
    from service.settings import ServiceSettings

    places = {"data_dir": data_dir, "database_url": database_url, "broker_url": broker_url}
    settings = _read(ServiceSettings, host=host, port=port, root_path=root_path, **places)
    _need_driver(settings)
    given = {"slots": workers, "threads": threads, "data_dir": data_dir, "database_url": database_url}
    with _embedded(wanted=not no_worker, broker_url=broker_url, **given) as dispatcher:
        upgrade(settings.url)
        _log(settings)
        try:
            run(settings, dispatcher)
        except OpenToAllError as error:
            raise SpecError(str(error)) from error
        except AddressUnavailableError as error:
            raise SetupError(str(error)) from error


def worker(
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    workers: Slots = None,
    threads: Threads = None,
    devices: Devices = None,
    celery: Annotated[
        bool, typer.Option("--celery", help="Wait for messages from the broker instead of polling the database.")
    ] = False,
    broker_url: BrokerUrl = None,
) -> None:
    """Run jobs for a service that runs elsewhere. Database and data folder must be the service's own.

    Ctrl-C or SIGTERM stops it cleanly: running jobs keep their checkpoint and continue on another worker.
    With --celery it does the same as `celery -A workers.celery_app worker`.

    \b
    Examples:
      windtunnel worker --data-dir /var/lib/windtunnel
      windtunnel worker --database-url postgresql://user@db/windtunnel --data-dir /shared/windtunnel --workers 2
      windtunnel worker --celery --broker-url redis://redis:6379/0 --devices cuda:0,cuda:1
    """
    need("worker", "worker")
    if celery:
        need("worker --celery", "celery")
    elif broker_url is not None:
        raise typer.BadParameter("only a worker with --celery uses a broker", param_hint="--broker-url")
    from workers import main
    from workers.settings import WorkerSettings

    places = {"slots": workers, "threads": threads, "devices": devices}
    settings = _read(WorkerSettings, **places, data_dir=data_dir, database_url=database_url, broker_url=broker_url)
    _need_driver(settings)
    upgrade(settings.url)
    _log(settings)
    if celery:
        from workers import celery_worker

        status = _with_broker(celery_worker.run, settings)
    else:
        status = _with_broker(main.run, settings)
    if status != 0:
        raise typer.Exit(ExitCode.SERVER)


@contextmanager
def _embedded(*, wanted: bool, **given: Path | str | int | None) -> Iterator["Dispatcher | None"]:
    """Context with this process's dispatcher, not started yet: the broker's if one is set, else local; None if unwanted."""
    if not wanted:
        yield None
        return
    from store.database import Database
    from workers.settings import WorkerSettings

    settings = _present(_read(WorkerSettings, **given))
    database = Database(settings.url)
    try:
        if settings.broker_url is None:
            from workers.local import LocalDispatcher

            yield LocalDispatcher(database, settings)
        else:
            need("serve with a broker", "celery")
            from workers.celery_dispatcher import CeleryDispatcher

            yield CeleryDispatcher(database, settings)
    finally:
        database.dispose()


def _present(settings: "WorkerSettings") -> "WorkerSettings":
    """The settings with the devices that are there.

    Raises:
        SpecError: a device is not there.
    """
    from store.errors import SettingsError
    from workers.devices import present

    try:
        return present(settings)
    except SettingsError as error:
        raise SpecError(str(error)) from error


def _with_broker(run: Callable[["WorkerSettings"], int], settings: "WorkerSettings") -> int:
    """Exit status of ``run``.

    Raises:
        SpecError: no broker is set, or a device is not there.
    """
    from store.errors import SettingsError

    try:
        return run(settings)
    except SettingsError as error:
        raise SpecError(str(error)) from error


def _read(kind: type[Kind], **given: Path | str | int | None) -> Kind:
    """Settings from options, then from the environment.

    Raises:
        SpecError: a setting is malformed.
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
    """Send the log of server and workers to standard error."""
    from store import logs

    logs.configure(settings.log_format)
    output.say(
        f"database {without_password(settings.url)}, files in {settings.data_dir.absolute()}; Ctrl-C stops", style="dim"
    )
