"""Data sets through the API: uploaded, refused, listed, deleted; and what an upload may not do to the server."""

import io
import os
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, update

from service.app import create_app
from service.datasets.storage import ASIDE, STALE
from service.serve import background
from service.settings import ServiceSettings
from store.database import Database
from store.files import FILE, MANIFEST, digest
from store.tables import datasets

GENERATOR = np.random.Generator(np.random.PCG64(0))
CSV = "a,b,target\n" + "\n".join(f"{a},{b},{'yes' if a > b else 'no'}" for a, b in GENERATOR.normal(size=(90, 2)))
MIB = 1 << 20


def archive(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def send(client: httpx.Client, content: bytes | str = CSV, file: str = "points.csv", **fields: str) -> httpx.Response:
    body = content.encode() if isinstance(content, str) else content
    return client.post("/v1/datasets", files={"file": (file, body)}, data=fields, timeout=60)


@contextmanager
def served(database: Database, folder: Path, **limits: int) -> Iterator[httpx.Client]:
    """A client of a server with these limits."""
    settings = ServiceSettings(data_dir=folder, **limits)
    with background(create_app(settings, database=database)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def left(folder: Path) -> list[str]:
    """What is in the folder of data sets."""
    return sorted(path.name for path in (folder / "datasets").glob("*"))


def test_the_data_sets_of_an_owner_take_no_more_room_than_the_limit(database, tmp_path):
    with served(database, tmp_path) as client:
        first = send(client).json()
        room = first["stored_bytes"]
        kept = tmp_path / "datasets" / first["id"]
        assert room == sum(file.stat().st_size for file in kept.iterdir()) > first["bytes"] / 4
    with served(database, tmp_path, max_datasets_bytes=2 * room - 1) as client:
        assert send(client).status_code == 200, "what one has is no more"
        other = CSV.replace("yes", "aye")
        refused = send(client, other)
        assert (refused.status_code, refused.json()["type"]) == (403, "quota")
        assert f"your others take {room:,}; allowed together: {2 * room - 1:,}" in refused.json()["detail"]
        assert left(tmp_path) == [first["id"]]
        page = client.post("/datasets", files={"file": ("points.csv", other.encode())}, data={"kind": ""})
        assert page.status_code == 403 and "allowed together" in page.text
        client.delete(f"/v1/datasets/{first['id']}")
        assert send(client, other).status_code == 201


def test_life_of_a_data_set(either, work_on_either, settings):
    made = send(either, file="C:\\points.csv")
    dataset = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/datasets/{dataset['id']}")
    assert (dataset["name"], dataset["file"], dataset["format"]) == ("points", "points.csv", "csv")
    assert (dataset["bytes"], dataset["columns"], dataset["target"]) == (len(CSV), ["a", "b"], "target")
    task = dataset["task"]
    assert (task["kind"], task["classes"], task["sources"]) == ("classification", 2, ["no", "yes"])
    assert either.get(made.headers["location"]).json() == dataset
    assert either.get("/v1/datasets").json()["items"] == [{**dataset, "scaling": None, "columns": []}]
    folder = settings.data_dir / "datasets" / dataset["id"]
    assert digest(folder / FILE) == dataset["sha256"] and (folder / MANIFEST).exists()
    assert dataset["id"] not in [item["name"] for item in either.get("/v1/tasks").json()["items"]]

    again = send(either, file="other.csv")
    assert (again.status_code, again.json()) == (200, dataset)
    for harm in ((folder / FILE).unlink, lambda: (folder / FILE).write_bytes(b"noise")):
        harm()
        assert send(either).status_code == 200
        assert digest(folder / FILE) == dataset["sha256"], "the same file mends what was lost or damaged"
    assert left(settings.data_dir) == [dataset["id"]]

    job = either.post("/v1/jobs", json={"task": dataset["id"]})
    assert job.status_code == 201
    assert (job.json()["spec"]["model"]["family"], job.json()["spec"]["inner"]["batch_size"]) == ("mlp", 54)
    refused = either.delete(made.headers["location"])
    assert (refused.status_code, refused.json()["type"]) == (409, "dataset-in-use")
    assert job.json()["id"] in refused.json()["detail"]
    either.post(f"/v1/jobs/{job.json()['id']}/cancel")
    assert either.delete(made.headers["location"]).status_code == 204
    assert left(settings.data_dir) == [] and either.get("/v1/datasets").json()["items"] == []
    for gone in (either.get(made.headers["location"]), either.delete(made.headers["location"])):
        assert (gone.status_code, gone.json()["type"]) == (404, "not-found")
    late = either.post("/v1/jobs", json={"task": dataset["id"]})
    assert late.status_code == 422 and late.json()["errors"][0]["pointer"] == "/task"
    assert "was deleted" in late.json()["detail"]
    assert either.get(f"/v1/jobs/{job.json()['id']}").json()["spec"]["task"] == dataset["id"]
    revived = send(either)
    assert (revived.status_code, revived.json()["id"]) == (201, dataset["id"])


def test_plans_of_a_deleted_data_set_stay(client, work):
    images = archive(inputs=GENERATOR.normal(size=(100, 8, 8)), labels=np.arange(100) % 10)
    identity = send(client, images, "images.npz").json()["id"]
    spec = client.post("/v1/jobs", json={"task": identity}).json()
    lease = work.claim(spec["id"])
    work.succeed(lease)
    plan = client.post(f"/v1/jobs/{spec['id']}/plans", json={"width": 256})
    assert plan.status_code == 201
    assert client.delete(f"/v1/datasets/{identity}").status_code == 204
    for kind in ("json", "yaml", "torch", "optax"):
        assert client.get(plan.headers["location"], params={"format": kind}).status_code == 200
    assert client.get(f"/plans/{plan.json()['id']}").status_code == 200
    assert client.get(f"/jobs/{spec['id']}").status_code == 200


def test_spec_is_checked_against_what_is_known_of_the_data_set(client):
    identity = send(client).json()["id"]
    for change, pointer, words in (
        ({"model": {"family": "resnet"}}, "/model/family", "allowed: mlp"),
        ({"inner": {"batch_size": 100}}, "/inner/batch_size", "the 54 training examples"),
        ({"task": "ds_" + "0" * 26}, "/task", "is none of yours"),
        ({"task": "ds_" + "0" * 25}, "/task", "no task"),
        ({"method": {"estimator": "reverze"}}, "/method/estimator", "did you mean 'reverse'"),
    ):
        for path in ("/v1/jobs", "/v1/estimates"):
            answer = client.post(path, json={"task": identity, **change})
            assert answer.status_code == 422, answer.text
            assert answer.json()["errors"][0]["pointer"] == pointer and words in answer.json()["errors"][0]["message"]
    estimate = client.post("/v1/estimates", json={"task": identity}).json()
    # 2 x 64 + 64, 64 x 64 + 64, 64 x 2 + 2
    assert estimate["parameters"] == 4482


def test_somebody_elses_data_set_is_not_there(client, sqlite: Database):
    identity = send(client).json()["id"]
    with sqlite.transaction() as session:
        session.execute(update(datasets).values(owner="somebody"))
    assert client.get("/v1/datasets").json()["items"] == []
    assert client.get(f"/v1/datasets/{identity}").status_code == 404
    assert client.delete(f"/v1/datasets/{identity}").status_code == 404
    answer = client.post("/v1/jobs", json={"task": identity, "model": {"family": "resnet"}})
    assert "is none of yours" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("name", "content", "status", "kind", "pointer", "words"),
    [
        ("a.csv", "", 422, "invalid-dataset", "/file", "the file is empty"),
        ("a.csv", CSV.replace("yes", "nan", 1), 422, "invalid-dataset", "/target", "the target, has nan in row"),
        ("a.csv", CSV + "\ntall,1,yes", 422, "invalid-dataset", "/file", "column 'a' has text in row 92: 'tall'"),
        ("a.xlsx", CSV, 422, "invalid-dataset", "/format", "does not say what the file is"),
        ("a.npz", "PK", 422, "invalid-dataset", "/file", "no npz archive"),
        (
            "a.npz",
            archive(inputs=np.zeros((60, 2)), labels=np.array([{}] * 60)),
            422,
            "invalid-dataset",
            "/file",
            "which are pickled",
        ),
        (
            "a.npz",
            archive(inputs=np.zeros((900, 9000)), labels=np.arange(900)),
            413,
            "dataset-too-large",
            "/file",
            "unpacks",
        ),
        ("a.parquet", b"PAR1" + b"\xff" * 99, 422, "invalid-dataset", "/file", "parquet"),
    ],
)
def test_what_cannot_be_used_is_a_clear_problem_and_leaves_nothing(
    sqlite, tmp_path, name, content, status, kind, pointer, words
):
    with served(sqlite, tmp_path, max_dataset_bytes=MIB) as client:
        answer = send(client, content, name)
        problem = answer.json()
        assert (answer.status_code, problem["type"], problem["errors"][0]["pointer"]) == (status, kind, pointer)
        assert words in problem["detail"] and answer.headers["content-type"] == "application/problem+json"
        assert left(tmp_path) == [] and client.get("/v1/datasets").json()["items"] == []


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"kindd": "regression"}, "/kindd", "did you mean 'kind'"),
        ({"kind": "cluster"}, "/kind", "allowed: classification, regression"),
        ({"context": "8"}, "/context", "allowed for npz, text"),
        ({"target": "c"}, "/target", "allowed: a, b, target"),
        ({"name": "a\nb"}, "/name", "cannot be shown"),
    ],
)
def test_bad_fields_are_named(client, fields, pointer, words):
    answer = send(client, **fields)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer and words in answer.json()["errors"][0]["message"]


def test_forms_that_are_none(client):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/v1/datasets", content=b"--x\r\nrubbish", headers=headers).status_code in (400, 422)
    assert client.post("/v1/datasets", files={"file": (None, "text")}).json()["errors"][0]["pointer"] == "/file"
    assert client.post("/v1/datasets", files={"other": ("a.csv", CSV)}).json()["errors"][0]["pointer"] == "/file"
    two = client.post("/v1/datasets", files=[("file", ("a.csv", CSV)), ("file", ("b.csv", CSV))])
    assert two.status_code == 400 and "Too many files" in two.json()["detail"]
    for body in ({"json": {"file": CSV}}, {"content": CSV, "headers": {"content-type": "text/csv"}}):
        answer = client.post("/v1/datasets", **body)
        assert (answer.status_code, answer.json()["type"]) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_a_form_of_another_site_uploads_nothing(client, headers):
    for path in ("/v1/datasets", "/datasets"):
        answer = client.post(path, files={"file": ("a.csv", CSV)}, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (403, "foreign-origin")
    assert client.get("/v1/datasets").json()["items"] == []


def test_an_owner_has_so_many_data_sets_and_no_more(sqlite, tmp_path):
    with served(sqlite, tmp_path, max_datasets=1) as client:
        assert send(client).status_code == 201
        assert send(client).status_code == 200
        answer = send(client, CSV + "\n0,1,no")
        assert (answer.status_code, answer.json()["type"]) == (409, "too-many-datasets")
        assert len(left(tmp_path)) == 1


def test_a_reader_that_takes_too_much_memory_is_stopped(sqlite, tmp_path):
    wide = archive(inputs=np.zeros((8_000, 8_000)), labels=np.arange(8_000) % 2)
    with served(sqlite, tmp_path, max_dataset_bytes=256 * MIB, dataset_memory=512 * MIB) as client:
        answer = send(client, wide, "a.npz")
        assert (answer.status_code, answer.json()["type"]) == (413, "dataset-too-large")
        assert "WINDTUNNEL_DATASET_MEMORY" in answer.json()["detail"] and left(tmp_path) == []


def test_a_reader_that_takes_too_long_is_stopped(sqlite, tmp_path):
    with served(sqlite, tmp_path, dataset_seconds=1) as client:
        answer = send(client, "a,b\n" + "0.123456789,0.5\n" * 4_000_000)
        assert (answer.status_code, answer.json()["type"]) == (413, "dataset-too-large")
        assert "more than the 1 s" in answer.json()["detail"] and left(tmp_path) == []


def test_two_gigabytes_leave_the_server_as_it_was(sqlite, tmp_path, monkeypatch):
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spool))
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\n\r\na,b,c\n'
    rows = b"1.0,2.0,3.0\n" * 21_845
    me, sizes = psutil.Process(), []

    def stream() -> Iterator[bytes]:
        yield head
        for _ in range(2**31 // len(rows)):
            sizes.append(me.memory_info().rss)
            yield rows
        yield b"\r\n--B--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=B"}
    with served(sqlite, tmp_path, max_dataset_bytes=8 * MIB, max_stream_bytes=8 * MIB) as client:
        client.get("/v1/datasets")
        answer = client.post("/v1/datasets", content=stream(), headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["type"]) == (413, "too-large")
        assert "allowed: 8,454,144" in answer.json()["detail"]
        # Server and sender are one process here; what either held would show.
        assert max(sizes) - sizes[0] < 32 * MIB
        with socket.create_connection(("127.0.0.1", client.base_url.port)) as declared:
            # Refused by its length, before a byte of it has come.
            head = "POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=B\r\n"
            declared.sendall(f"{head}Content-Length: {2**31}\r\n\r\n".encode())
            assert declared.recv(12) == b"HTTP/1.1 413"
        assert list(spool.iterdir()) == [] and left(tmp_path) == []
        assert client.get("/healthz").status_code == 200


def test_every_format_is_read_within_the_limits(client):
    numbers, classes = GENERATOR.normal(size=(200, 3)), np.arange(200) % 2
    table = io.BytesIO()
    pq.write_table(pa.table({"a": numbers[:, 0], "b": numbers[:, 1], "target": [str(each) for each in classes]}), table)
    for content, file, fields, kind, families in (
        (table.getvalue(), "a.parquet", {}, "classification", ["mlp"]),
        (archive(x=numbers, y=numbers[:, 0]), "a.npz", {}, "regression", ["mlp"]),
        (archive(tokens=np.arange(2000) % 7), "b.npz", {"context": "8"}, "language", ["transformer", "llama"]),
        (b"abc " * 500, "a.txt", {"context": "8"}, "language", ["transformer", "llama"]),
        (CSV, "blob", {"format": "csv", "kind": "classification"}, "classification", ["mlp"]),
    ):
        answer = send(client, content, file, **fields)
        assert answer.status_code == 201, answer.text
        assert (answer.json()["task"]["kind"], answer.json()["task"]["families"]) == (kind, families)
        estimate = client.post("/v1/estimates", json={"task": answer.json()["id"]})
        assert estimate.status_code == 200 and estimate.json()["seconds"] > 0


def test_what_a_killed_server_left_aside_is_swept(client, settings):
    send(client)
    stale, fresh = (settings.data_dir / "datasets" / f"{ASIDE}{name}" for name in ("stale", "fresh"))
    for folder in (stale, fresh):
        folder.mkdir()
    os.utime(stale, (0, fresh.stat().st_mtime - STALE - 1))
    send(client)
    assert not stale.exists() and fresh.exists()


def test_many_uploads_of_one_file_make_one_data_set(either, database: Database):
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: send(either), range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    with database.snapshot() as session:
        assert len(session.execute(select(datasets)).all()) == 1
