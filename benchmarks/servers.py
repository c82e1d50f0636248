"""Private PostgreSQL, Redis and nginx servers from installed binaries, for measurements and for tests that kill them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import redis


class NotInstalledError(Exception):
    """The machine lacks a server; the message says how to install it."""


def _postgresql_folder() -> Path | None:
    """Folder of initdb and postgres, of the newest installed version; None without one."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if installed:
        return installed[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


def _unprivileged() -> tuple[int, int] | None:
    """User and group for PostgreSQL, which refuses to run as root; None if this process is not root."""
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
    """A private PostgreSQL behind a socket in a folder of its own, which a test may kill and restart.

    Args:
        settings: settings of the server, as ``name=value``.

    Raises:
        NotInstalledError: there is no PostgreSQL on this machine.
    """

    def __init__(self, *settings: str) -> None:
        binaries = _postgresql_folder()
        if binaries is None:
            raise NotInstalledError("PostgreSQL is not installed (apt-get install postgresql)")
        self._binaries, self._settings = binaries, settings
        # Not below pytest's own folder: that one is closed to other users.
        self._folder = Path(tempfile.mkdtemp(prefix="windtunnel-pg-"))
        self.url = f"postgresql://windtunnel@/windtunnel?host={self._folder}"
        account = _unprivileged()
        self._user: dict[str, Any] = {}
        if account is not None:
            os.chown(self._folder, *account)
            self._user = {"user": account[0], "group": account[1], "extra_groups": []}
        self._log = (self._folder / "log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None
        made: list[str | Path] = [
            "-D",
            self._folder / "data",
            "-U",
            "windtunnel",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]
        subprocess.run(
            [binaries / "initdb", *made], check=True, stdout=self._log, stderr=self._log, cwd=self._folder, **self._user
        )
        self.start()
        subprocess.run([binaries / "createdb", "-h", self._folder, "-U", "windtunnel", "windtunnel"], check=True)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = (*self._settings, "max_connections=200", "listen_addresses=", f"unix_socket_directories={self._folder}")
        options = [part for setting in settings for part in ("-c", setting)]
        command: list[str | Path] = [self._binaries / "postgres", "-D", self._folder / "data", *options]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, cwd=self._folder, **self._user)
        ready: list[str | Path] = [
            self._binaries / "pg_isready",
            "-q",
            "-h",
            self._folder,
            "-U",
            "windtunnel",
            "-d",
            "postgres",
        ]
        for _ in range(300):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            try:
                self._process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            break
        raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()}")

    def kill(self) -> None:
        """Kill the server at once, even in a transaction; it recovers from its log at the next start."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=30)

    def remove(self) -> None:
        """Stop the server and delete its data."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._log.close()
        shutil.rmtree(self._folder)


class RedisServer:
    """A private Redis on a free port, which a test may empty, kill and restart.

    Raises:
        NotInstalledError: there is no Redis on this machine.
    """

    def __init__(self) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            raise NotInstalledError("Redis is not installed (apt-get install redis-server)")
        self._binary, self._folder = binary, Path(tempfile.mkdtemp(prefix="windtunnel-redis-"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server empty, and wait until it answers."""
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
        """Kill the server at once; its data are lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def remove(self) -> None:
        """Stop the server and delete its log."""
        self.client.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self._folder)


class NginxServer:
    """A private nginx on a free port of the loopback address.

    Args:
        servers: its ``server`` blocks; ``PORT`` in them stands for the port.

    Raises:
        NotInstalledError: there is no nginx on this machine.
    """

    def __init__(self, servers: str) -> None:
        binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if binary is None:
            raise NotInstalledError("nginx is not installed (apt-get install nginx-light)")
        self._folder = Path(tempfile.mkdtemp(prefix="windtunnel-nginx-"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        kept = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = " ".join(f"{name}_temp_path {self._folder / name};" for name in kept)
        user = "user root;" if os.geteuid() == 0 else ""
        (self._folder / "nginx.conf").write_text(
            f"{user} daemon off; worker_processes 1; pid {self._folder / 'pid'}; events {{}}\n"
            f"http {{ access_log off; {places}\n{servers.replace('PORT', str(self.port))}\n}}\n"
        )
        self._log = self._folder / "log"
        command: list[str | Path] = [binary, "-p", self._folder, "-c", self._folder / "nginx.conf", "-e", self._log]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"nginx did not start: {self._log.read_text()}") from None
                time.sleep(0.02)
            else:
                return

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self._process.terminate()
        self._process.wait(timeout=30)
        shutil.rmtree(self._folder)
