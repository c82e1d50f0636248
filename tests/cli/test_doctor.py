"""``doctor``: healthy, and with each thing out of order."""

import json
import socket
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from store import jobs, leases, workers
from store.database import Database
from store.keys import LOCAL
from windtunnel.cli import extras
from windtunnel.cli.databases import upgrade
from windtunnel.types import JobSpec


@pytest.fixture
def findings(run, monkeypatch, free_port):
    """Runs the doctor; gives its exit code and its findings by name."""
    monkeypatch.setenv("WINDTUNNEL_PORT", str(free_port))

    def look(*args: str) -> tuple[int, dict[str, dict[str, str]]]:
        done = run("doctor", "--json", *args)
        return done.exit_code, {finding["name"]: finding for finding in json.loads(done.stdout)}

    return look


@pytest.fixture
def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_healthy_installation_has_no_problem_and_is_left_as_it_was(findings, tmp_path, free_port):
    code, found = findings("--url", f"http://127.0.0.1:{free_port}")
    assert code == 0
    assert {name for name, finding in found.items() if finding["status"] != "ok"} == {"server"}
    assert "windtunnel serve" in found["server"]["message"]
    assert "does not exist yet" in found["database"]["message"]
    assert "threads" in found["torch"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_running_server_is_found(findings, server, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_PORT", server.url.rpartition(":")[2])
    code, found = findings("--url", server.url)
    assert code == 0
    assert "is ready" in found["server"]["message"]
    assert "a windtunnel server answers" in found["port"]["message"]


def test_a_port_that_another_program_holds_is_a_problem(findings, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("WINDTUNNEL_PORT", str(other.getsockname()[1]))
        code, found = findings("--url", "http://127.0.0.1:9")
    assert code == 1
    assert found["port"]["status"] == "problem"
    assert "--port" in found["port"]["remedy"]


def test_a_malformed_setting_is_named(findings, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_PORT", "many")
    code, found = findings()
    assert code == 1
    assert "WINDTUNNEL_PORT" in found["settings"]["message"]
    assert "many" in found["settings"]["message"]


def test_a_malformed_worker_setting_is_named(findings, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_SLOTS", "many")
    code, found = findings()
    assert code == 1
    assert found["settings"]["status"] == "problem" and "WINDTUNNEL_SLOTS" in found["settings"]["message"]


def test_a_database_of_another_version_is_worth_knowing(findings, monkeypatch, tmp_path):
    sqlite3.connect(tmp_path / "old.db").close()
    monkeypatch.setenv("WINDTUNNEL_DATABASE_URL", f"sqlite:///{tmp_path}/old.db")
    code, found = findings()
    assert code == 0
    assert (found["database"]["status"], found["database"]["remedy"]) == ("warn", "`windtunnel serve` upgrades it")
    upgrade(f"sqlite:///{tmp_path}/old.db")
    assert findings()[1]["database"]["status"] == "ok"


def test_a_database_that_cannot_be_opened_is_a_problem(findings, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_DATABASE_URL", "postgresql://ada:s3cret@127.0.0.1:9/wt")
    code, found = findings()
    assert code == 1
    assert found["database"]["status"] == "problem"
    assert "s3cret" not in json.dumps(found)


def test_a_data_folder_that_cannot_be_made_is_a_problem(findings, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WINDTUNNEL_DATA_DIR", str(tmp_path / "file" / "data"))
    code, found = findings()
    assert code == 1
    assert found["data folder"]["status"] == "problem"


@pytest.mark.parametrize(("free", "status"), [(10 << 30, "ok"), (500 << 20, "warn"), (1 << 20, "problem")])
def test_a_disk_that_fills_up_is_told(findings, monkeypatch, free, status):
    class Usage:
        pass

    usage = Usage()
    usage.free = free
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    code, found = findings()
    assert found["data folder"]["status"] == status
    assert code == (1 if status == "problem" else 0)


def test_the_client_alone_is_a_healthy_installation(findings, monkeypatch):
    monkeypatch.setattr(extras, "_installed", lambda name: False)
    code, found = findings()
    assert code == 0
    assert found["extra worker"]["remedy"] == "pip install 'windtunnel[worker]'"
    assert "torch" not in found
    assert "database" not in found


def test_people_get_a_table(run):
    done = run("doctor", "--url", "http://127.0.0.1:9")
    assert any(line.startswith("ok  ") and "python" in line for line in done.stdout.splitlines())
    assert Path("data").exists() is False


def test_a_fleet_is_looked_at(findings, monkeypatch, tmp_path):
    url = f"sqlite:///{tmp_path}/fleet.db"
    monkeypatch.setenv("WINDTUNNEL_DATABASE_URL", url)
    upgrade(url)
    code, found = findings()
    assert (code, found["fleet"]["message"], found["queue"]["status"]) == (0, "workers: none", "ok")
    database = Database(url)
    with database.transaction() as s:
        job_id = jobs.submit(s, JobSpec(task="digits"), owner=LOCAL).id
    code, found = findings()
    assert (code, found["queue"]["status"]) == (1, "problem")
    assert "no worker is running" in found["queue"]["message"]
    with database.transaction() as s:
        facts = {"host": "h", "device": "cpu", "threads": 1, "started_at": datetime.now(UTC)}
        workers.seen(s, "busy", **facts, job_id=job_id)
        assert leases.claim(s, job_id, "busy", 60) is not None
    code, found = findings()
    assert (code, found["fleet"]["message"]) == (0, "workers: 1 busy")
    assert "1 held" in found["leases"]["message"]
    database.dispose()


def test_a_broker_that_does_not_answer_is_a_problem(findings, monkeypatch, free_port, redis_server):
    monkeypatch.setenv("WINDTUNNEL_BROKER_URL", redis_server.url)
    assert findings()[1]["broker"]["status"] == "ok"
    monkeypatch.setenv("WINDTUNNEL_BROKER_URL", f"redis://ada:s3cret@127.0.0.1:{free_port}/0")
    code, found = findings()
    assert (code, found["broker"]["status"]) == (1, "problem")
    assert "s3cret" not in found["broker"]["message"]
