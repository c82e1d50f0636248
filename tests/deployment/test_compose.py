"""The containers: what docker-compose.yml says holds together, starts what exists, and keeps secrets out of images."""

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from store import dialect, schema, workers
from store.database import Database
from store.settings import PREFIX, StoreSettings
from workers import healthcheck, identity
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_every_service_that_stays_says_whether_it_is_well() -> None:
    staying = {name for name, service in SERVICES.items() if service["restart"] != "no"}
    assert {name for name, service in SERVICES.items() if "healthcheck" in service} == staying - {"gate"}


def test_volumes_that_are_mounted_are_declared_and_named() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_every_setting_is_one_that_the_code_reads() -> None:
    known = {PREFIX + name.upper() for kind in (StoreSettings, WorkerSettings) for name in kind.model_fields}
    given = {name for service in SERVICES.values() for name in service.get("environment", {}) if name.startswith(PREFIX)}
    assert given and given <= known


def test_secrets_come_from_the_environment_and_nothing_is_published_to_other_machines() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name, value in re.findall(r"^ +(\w*PASSWORD\w*): *(.+)$", text, re.MULTILINE):
        assert value.startswith("${"), name
    assert SERVICES["server"]["environment"]["PGPASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    # In an address it would have to be escaped.
    assert "PASSWORD" not in SERVICES["server"]["environment"]["WINDTUNNEL_DATABASE_URL"]
    assert "PASSWORD" not in (ROOT / "Dockerfile").read_text()
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"] and service["read_only"] is True and service["mem_limit"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service.get("cap_add", [])) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
    assert ("cap_add" in service) == (name in ("database", "redis")), "ours run as a user of their own from the start"


def test_the_gate_is_started_again_with_the_server_and_ends_where_it_meets_none(tmp_path: Path) -> None:
    gate = SERVICES["gate"]
    assert gate["depends_on"]["server"] == {"condition": "service_healthy", "restart": True}
    (script,) = gate["command"]
    # socat is there in the image alone: here one stands for it that reaches nobody, and listens for ever.
    fake = tmp_path / "socat"
    fake.write_text('#!/bin/sh\ncase "$1" in tcp-listen*) exec sleep 30;; esac\nexit 1\n')
    (tmp_path / "sleep").write_text('#!/bin/sh\n[ "$1" = 5 ] || exec /bin/sleep "$@"\n')
    for each in (fake, tmp_path / "sleep"):
        each.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run(["/bin/sh", "-c", script.replace("$$", "$")], env=environment, timeout=20, check=False)
    assert ended.returncode == 1


@pytest.mark.parametrize("password", ["plain", "p@ss/w:rd", "ü%41 #?"])
def test_any_password_is_taken_as_it_is(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    psycopg = pytest.importorskip("psycopg")
    environment = SERVICES["server"]["environment"]
    monkeypatch.setenv("PGPASSWORD", password)
    given = dialect.parse_url(environment["WINDTUNNEL_DATABASE_URL"])
    assert given.password is None and given.username == "windtunnel"
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(host="127.0.0.1", port=1, user=given.username, dbname=given.database, connect_timeout=2)
    assert password not in str(caught.value)


def test_only_what_the_dockerfile_copies_is_sent_to_the_builder() -> None:
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE) for name in line.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_migrations_make_a_database_that_the_workers_health_check_can_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WINDTUNNEL_DATABASE_URL", f"sqlite:///{tmp_path}/fleet.db")
    command = [sys.executable, "-m", *SERVICES["migrations"]["command"]]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ)
    database = Database(f"sqlite:///{tmp_path}/fleet.db")
    assert schema.is_current(database)
    assert SERVICES["worker"]["healthcheck"]["test"][-1] == healthcheck.__name__
    assert healthcheck.main() == 1
    assert "no worker" in capsys.readouterr().err
    facts = {"device": "cpu", "threads": 1, "started_at": datetime.now(UTC), "job_id": None}
    with database.transaction() as s:
        workers.seen(s, "here", host=identity.hostname(), **facts)
    assert healthcheck.main() == 0
    database.dispose()


def _has_compose() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _has_compose(), reason="docker compose is not installed")
@pytest.mark.parametrize("profile", [[], ["--profile", "gpu"]])
def test_docker_compose_takes_the_file_and_refuses_to_start_without_a_password(profile: list[str]) -> None:
    command = ["docker", "compose", "--file", str(ROOT / "docker-compose.yml"), *profile, "config", "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "POSTGRES_PASSWORD"}
    assert subprocess.run(command, env={**environment, "POSTGRES_PASSWORD": "x"}).returncode == 0
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert refused.returncode != 0 and "POSTGRES_PASSWORD" in refused.stderr
