"""Servers for every test: SQLite files, and a private PostgreSQL and Redis started from the binaries on this machine."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import delete, text

from store import schema
from store.database import Database
from store.tables import metadata

# Worker processes of the tests share few cores; this is also what keeps their numbers the same on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _missing(what: str) -> None:
    """A service that the tests need is not there: an error where nothing may be left out (CI), else a skip that says so."""
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(f"{what}; with CI set every service must be there")
    pytest.skip(what)


def _postgresql_folder() -> Path | None:
    """The folder of initdb and postgres, of the newest version installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if installed:
        return installed[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


def _unprivileged() -> tuple[int, int] | None:
    """User and group for PostgreSQL, which refuses to run as root; None where we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return account.pw_uid, account.pw_gid
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody' to run it as")


class PostgresqlServer:
    """A PostgreSQL of our own behind a socket in a folder of its own, which a test may kill and start again.

    Args:
        settings: of the server, as ``name=value``.
    """

    def __init__(self, *settings: str) -> None:
        binaries = _postgresql_folder()
        if binaries is None:
            _missing("PostgreSQL is not installed (apt-get install postgresql)")
        assert binaries is not None
        self._binaries, self._settings = binaries, settings
        # Not below pytest's own folder: that one is closed to other users.
        self._folder = Path(tempfile.mkdtemp(prefix="windtunnel-pg-"))
        self.url = f"postgresql://windtunnel@/windtunnel?host={self._folder}"
        account = _unprivileged()
        self._user: dict[str, object] = {}
        if account is not None:
            os.chown(self._folder, *account)
            self._user = {"user": account[0], "group": account[1], "extra_groups": []}
        self._log = (self._folder / "log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None
        made = ["-D", self._folder / "data", "-U", "windtunnel", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [binaries / "initdb", *made], check=True, stdout=self._log, stderr=self._log, cwd=self._folder, **self._user
        )
        self.start()
        subprocess.run([binaries / "createdb", "-h", self._folder, "-U", "windtunnel", "windtunnel"], check=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = (*self._settings, "max_connections=200", "listen_addresses=", f"unix_socket_directories={self._folder}")
        options = [part for setting in settings for part in ("-c", setting)]
        command = [self._binaries / "postgres", "-D", self._folder / "data", *options]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, cwd=self._folder, **self._user)
        ready = [self._binaries / "pg_isready", "-q", "-h", self._folder, "-U", "windtunnel", "-d", "postgres"]
        for _ in range(300):
            if subprocess.run(ready).returncode == 0:
                return
            try:
                self._process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            break
        raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()}")

    def kill(self) -> None:
        """End it at once, wherever its transactions are; it recovers from its log when it is started again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=30)

    def remove(self) -> None:
        """End it, and delete all that is in it."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._log.close()
        shutil.rmtree(self._folder)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Address of an empty database on a fresh PostgreSQL server that ends with the tests."""
    server = PostgresqlServer("fsync=off", "synchronous_commit=off", "full_page_writes=off")
    yield server.url
    server.remove()


@pytest.fixture
def mortal_postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL with the newest schema for one test, which may kill it: what it has confirmed, it keeps."""
    server = PostgresqlServer("fsync=off", "full_page_writes=off")
    schema.upgrade(server.url)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgresql_shared(postgresql_server: str) -> str:
    """Address of that database with the newest schema: all tests share it, for making one costs more than most tests."""
    schema.upgrade(postgresql_server)
    return postgresql_server


def _empty(url: str) -> None:
    """Bring the shared database back to the newest schema and no rows, whatever a test did to it."""
    database = Database(url)
    current = schema.is_current(database)
    with database.transaction() as s:
        s.execute(text("SET lock_timeout = '30s'"))  # a test that left a transaction open fails here, and hangs nothing
        if current:
            for table in reversed(metadata.sorted_tables):
                s.execute(delete(table))
        else:
            s.execute(text("DROP SCHEMA public CASCADE"))
            s.execute(text("CREATE SCHEMA public"))
    database.dispose()
    if not current:
        schema.upgrade(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the newest schema, to copy."""
    path = tmp_path_factory.mktemp("template") / "windtunnel.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Address of a fresh SQLite database with the newest schema."""
    copy = tmp_path / "windtunnel.db"
    shutil.copy(sqlite_template, copy)
    return f"sqlite:///{copy}"


@pytest.fixture
def postgresql_url(postgresql_shared: str) -> Iterator[str]:
    """Address of an empty PostgreSQL database with the newest schema."""
    yield postgresql_shared
    _empty(postgresql_shared)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Address of a fresh database with the newest schema; the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh open database; the test runs once on each kind."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


class RedisServer:
    """A Redis of our own on a free port, which a test may empty, kill and start again."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary, self._folder = binary, folder
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._binary, *options], cwd=self._folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client.ping()
            except redis.ConnectionError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Redis did not start: {(self._folder / 'log').read_text()}") from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it at once; all that it held is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def redis_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A fresh Redis server that ends with the tests."""
    binary = shutil.which("redis-server")
    if binary is None:
        _missing("Redis is not installed (apt-get install redis-server)")
    assert binary is not None
    server = RedisServer(binary, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.client.close()
    server.kill()


@pytest.fixture
def redis_server(redis_shared: RedisServer) -> RedisServer:
    """That server, empty."""
    redis_shared.client.flushall()
    return redis_shared
