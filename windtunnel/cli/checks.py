"""Checks of ``doctor`` on one machine; each returns one finding: ok, a warning, or a problem."""

import errno
import importlib
import platform
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel import __version__
from windtunnel.cli import databases
from windtunnel.cli.exits import SetupError
from windtunnel.cli.extras import missing, requirements
from windtunnel.cli.fleet_checks import Finding, broker_finding, fleet_findings
from windtunnel.client import Client, Pacing, ServerError, WindtunnelError
from windtunnel.tasks import TASKS

if TYPE_CHECKING:
    from service.settings import ServiceSettings
    from store.settings import StoreSettings

LOW_DISK = 1 << 30
"""Free bytes below which ``doctor`` warns: checkpoints are small, but a full disk stops every job."""
NO_DISK = 50 << 20
"""Free bytes below which ``doctor`` reports a problem."""


def findings(url: str | None) -> Iterator[Finding]:
    """Yield the finding of every check, in the order in which to fix them.

    Args:
        url: address of the server to check; None: the default address.
    """
    yield _python()
    yield from _extras()
    installed = not missing("server") or not missing("worker")
    if not missing("worker"):
        yield _torch()
    yield from _tasks()
    reachable = _server(url)
    if installed:
        yield from _place(reachable.status == "ok")
    yield reachable


def _python() -> Finding:
    # An older interpreter does not get here: the package does not install on it.
    return Finding(
        "python", "ok", f"{platform.python_version()}, windtunnel {__version__}, {platform.platform(terse=True)}"
    )


def _extras() -> Iterator[Finding]:
    purposes = {
        "server": "needed for `windtunnel serve`",
        "worker": "needed to run jobs on this machine",
        "postgresql": "needed only for a PostgreSQL database",
        "celery": "needed only for workers that a Redis broker wakes",
    }
    for extra, purpose in purposes.items():
        absent = missing(extra)
        if not absent:
            yield Finding(f"extra {extra}", "ok", f"{len(requirements()[extra])} packages installed")
            continue
        yield Finding(
            f"extra {extra}", "warn", f"{purpose}; missing: {', '.join(absent)}", f"pip install 'windtunnel[{extra}]'"
        )


def _tasks() -> Iterator[Finding]:
    for name, reason in TASKS.broken.items():
        yield Finding(
            f"task {name}",
            "warn",
            f"an installed package brings this task, and it cannot be used: {reason}",
            "correct its entry point in the group windtunnel.tasks, or uninstall the package",
        )
    brought = [name for name in TASKS if name not in TASKS.built_in]
    if brought:
        yield Finding("tasks", "ok", f"brought by packages: {', '.join(brought)}")


def _torch() -> Finding:
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return Finding(
            "torch", "problem", f"installed but cannot be loaded: {error}", "pip install --force-reinstall torch"
        )
    from hpo.devices import device_of, facts_of, gpus, why_no_gpu

    threads = f"{torch.get_num_threads()} threads"
    if (missing := why_no_gpu()) is not None:
        return Finding("torch", "ok", f"{torch.__version__}, {threads}, computes on the CPU: {missing}")
    found = [facts_of(device_of(name)) for name in gpus()]
    words = "; ".join(f"{each.words}, driver {each.driver}" for each in found)
    return Finding("torch", "ok", f"{found[0].build}, {threads}; {words}")


def _place(server_runs: bool) -> Iterator[Finding]:
    """Yield findings on settings, data folder, database and port, as far as the installed extras can check them."""
    from store.errors import SettingsError
    from store.settings import StoreSettings, read

    try:
        settings = read(StoreSettings)
    except SettingsError as error:
        yield Finding("settings", "problem", str(error), "correct the variable, or unset it")
        return
    yield Finding("settings", "ok", f"data folder {settings.data_dir.absolute()}")
    yield _folder(settings.data_dir.absolute())
    database = _database(settings)
    yield database
    if database.status == "ok" and database.message.endswith("current"):
        yield from fleet_findings(settings.url)
    if not missing("worker"):
        from workers.settings import WorkerSettings

        try:
            found = read(WorkerSettings)
            places = ", ".join(found.places)
            yield Finding("workers here", "ok", f"{places}: one job at a time each, {found.threads_per_job} threads each")
            if found.broker_url is not None:
                yield broker_finding(found)
        except SettingsError as error:
            yield Finding("settings", "problem", str(error), "correct the variable, or unset it")
    if not missing("server"):
        from service.settings import ServiceSettings

        try:
            yield _port(read(ServiceSettings), server_runs)
        except SettingsError as error:
            yield Finding("settings", "problem", str(error), "correct the variable, or unset it")


def _folder(folder: Path) -> Finding:
    existing = folder
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Finding(
            "data folder",
            "problem",
            f"{existing} cannot be written: {error.strerror}",
            "choose another with WINDTUNNEL_DATA_DIR, or make it writable",
        )
    free = shutil.disk_usage(existing).free
    message = f"{folder} {'is writable' if existing == folder else 'will be created'}, {free / 2**30:.1f} GiB free"
    if free < NO_DISK:
        return Finding(
            "data folder", "problem", message, "free some space, or choose another disk with WINDTUNNEL_DATA_DIR"
        )
    if free < LOW_DISK:
        return Finding("data folder", "warn", message, "jobs stop when the disk is full; free some space")
    return Finding("data folder", "ok", message)


def _database(settings: "StoreSettings") -> Finding:
    shown = databases.without_password(settings.url)
    if settings.url.startswith("postgres") and missing("postgresql"):
        return Finding("database", "problem", f"{shown} needs psycopg", "pip install 'windtunnel[postgresql]'")
    file = settings.url.removeprefix("sqlite:///")
    if file != settings.url and not Path(file).exists():
        # Opening it would create it, and doctor changes nothing.
        return Finding("database", "ok", f"{shown} does not exist yet; `windtunnel serve` creates it")
    try:
        current = databases.is_current(settings.url)
    except SetupError as error:
        return Finding("database", "problem", str(error))
    if not current:
        return Finding("database", "warn", f"{shown} has another version's schema", "`windtunnel serve` upgrades it")
    return Finding("database", "ok", f"{shown} answers, schema is current")


def _port(settings: "ServiceSettings", server_runs: bool) -> Finding:
    place = f"{settings.host}, port {settings.port}"
    family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and server_runs:
                return Finding("port", "ok", f"{place} is taken, and a windtunnel server answers")
            return Finding("port", "problem", f"{place}: {error.strerror}", "choose another with --port or WINDTUNNEL_PORT")
    return Finding("port", "ok", f"{place} is free")


def _server(url: str | None) -> Finding:
    try:
        with Client(url, timeout=5, pacing=Pacing(retries=0)) as client:
            client.ready()
            tasks = ", ".join(task.name for task in client.tasks())
            return Finding("server", "ok", f"{client.base_url} is ready, tasks: {tasks}")
    except ServerError as error:
        return Finding("server", "problem", str(error))
    except WindtunnelError as error:
        return Finding("server", "warn", str(error))
