"""Servers for every test: SQLite files, and a private PostgreSQL and Redis started from the binaries on this machine."""

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import delete, text

from benchmarks.servers import NginxServer, NotInstalledError, PostgresqlServer, RedisServer
from store import schema
from store.database import Database
from store.tables import metadata

Server = TypeVar("Server")

# Worker processes of the tests share few cores; this is also what keeps their numbers the same on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# pytest-xdist tells its processes of a terminal of 80 columns; what commands print is asserted as it is in a pipe.
os.environ.pop("COLUMNS", None)


@pytest.fixture(autouse=True)
def logging_stays_as_it_is() -> Iterator[None]:
    """A command that logs sets up the whole process, for a stream that ends with its test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _started(make: Callable[[], Server]) -> Server:
    """A server; where it is not installed an error if nothing may be left out (CI), else a skip that says so."""
    try:
        return make()
    except NotInstalledError as error:
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(f"{error}; with CI set every service must be there")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Address of an empty database on a fresh PostgreSQL server that ends with the tests."""
    server = _started(lambda: PostgresqlServer("fsync=off", "synchronous_commit=off", "full_page_writes=off"))
    yield server.url
    server.remove()


@pytest.fixture
def mortal_postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL with the newest schema for one test, which may kill it: what it has confirmed, it keeps."""
    server = _started(lambda: PostgresqlServer("fsync=off", "full_page_writes=off"))
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


@pytest.fixture(scope="session")
def redis_shared() -> Iterator[RedisServer]:
    """A fresh Redis server that ends with the tests."""
    server = _started(RedisServer)
    server.start()
    yield server
    server.remove()


@pytest.fixture
def redis_server(redis_shared: RedisServer) -> RedisServer:
    """That server, empty."""
    redis_shared.client.flushall()
    return redis_shared


PROXIED = """
location /tunnel/ {
    proxy_pass UPSTREAM/;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Prefix /tunnel;
    proxy_set_header X-Forwarded-Proto $scheme;
}
location /lab/whole/ {
    proxy_pass UPSTREAM;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Prefix /lab/whole/;
    proxy_set_header X-Forwarded-Proto $scheme;
}
location /jobs/ {
    proxy_pass UPSTREAM/;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Prefix /jobs;
}
location /bare/ {
    proxy_pass UPSTREAM/;
    proxy_set_header X-Forwarded-Prefix /bare;
    proxy_set_header X-Forwarded-Proto $scheme;
}
location /set/ {
    proxy_pass UPSTREAM/;
}
"""
"""Ways to serve under a path: the path taken off, left, one of our own names, Host left as nginx sets it, nothing said."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with key.pem and certificate.pem of 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("certificate")
    wanted = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(["openssl", "req", *wanted, *named, *files], check=True, capture_output=True)
    return folder


@pytest.fixture
def nginx(certificate: Path) -> Iterator[Callable[..., str]]:
    """Puts an nginx before a server: (URL of the server, over TLS or not) -> URL of the nginx."""
    running: list[NginxServer] = []

    def start(upstream: str, *, tls: bool = False) -> str:
        keys = f"ssl_certificate {certificate}/certificate.pem; ssl_certificate_key {certificate}/key.pem;" if tls else ""
        listen = f"listen 127.0.0.1:PORT{' ssl' if tls else ''}; {keys}"
        block = f"server {{ {listen} {PROXIED.replace('UPSTREAM', upstream)} }}"
        running.append(_started(lambda: NginxServer(block)))
        return f"http{'s' if tls else ''}://127.0.0.1:{running[-1].port}"

    yield start
    for server in running:
        server.remove()
