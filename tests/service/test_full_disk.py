"""A disk that is full is told as such: uploads by 507, /readyz before it is too late; what was there can still be read."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import schema
from store.database import Database

CSV = b"a,b,target\n" + b"".join(b"%d,%d.25,%d.5\n" % (row, row % 11, row % 7) for row in range(4000))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a disk of its own needs the right to mount one")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def cramped(small: Path, sqlite: Database) -> Iterator[httpx.Client]:
    """A server whose data sets lie on the small disk, its database elsewhere."""
    settings = ServiceSettings(data_dir=small, least_free_bytes=64 * 1024)
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def upload(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/datasets", files={"file": ("rows.csv", CSV)})


def test_an_upload_without_room_is_507_and_leaves_nothing_behind(cramped: httpx.Client, small: Path) -> None:
    (small / "other").write_bytes(b"x" * 500_000)
    answer = upload(cramped)
    assert (answer.status_code, answer.json()["type"]) == (507, "disk-full")
    assert cramped.get("/v1/datasets").json()["items"] == []
    assert [each.name for each in (small / "datasets").iterdir()] == []
    (small / "other").unlink()
    assert upload(cramped).status_code == 201


def test_a_server_without_room_is_not_ready_and_says_why(cramped: httpx.Client, small: Path) -> None:
    assert cramped.get("/readyz").json()["checks"]["disk"] == "ok"
    (small / "other").write_bytes(b"x" * 500_000)
    answer = cramped.get("/readyz")
    assert answer.status_code == 503
    assert "disk:" in answer.json()["detail"] and "make room" in answer.json()["detail"]
    assert cramped.get("/healthz").status_code == 200


def test_a_database_without_room_refuses_writes_by_507_and_goes_on_reading(tmp_path: Path, small: Path) -> None:
    url = f"sqlite:///{small}/windtunnel.db"
    schema.upgrade(f"sqlite:///{tmp_path}/windtunnel.db")
    shutil.copy(tmp_path / "windtunnel.db", small / "windtunnel.db")
    database = Database(url)
    settings = ServiceSettings(data_dir=tmp_path)
    with background(create_app(settings, database=database)) as address, httpx.Client(base_url=address) as client:
        answers = [client.post("/v1/jobs", json={"task": "digits", "name": "n" * 200}) for _ in range(200)]
        made = [each for each in answers if each.status_code == 201]
        refused = [each for each in answers if each.status_code != 201]
        assert {(each.status_code, each.json()["type"]) for each in refused} == {(507, "disk-full")}
        page = client.get("/v1/jobs", params={"limit": 200})
        assert (page.status_code, len(page.json()["items"])) == (200, len(made))
    database.dispose()
