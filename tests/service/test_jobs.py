"""The routes of jobs."""

import json
import socket
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import func, select, update

from service.app import create_app
from service.serve import background
from store import workers
from store.database import Database
from store.tables import jobs, metadata
from windtunnel.tasks import TASKS
from windtunnel.types import SCHEDULES

CSV = "a,target\n" + "".join(f"{index},{index % 7}.5\n" for index in range(60))
PROBLEM = "application/problem+json"


def rows(database) -> dict[str, int]:
    with database.snapshot() as session:
        return {table.name: session.scalar(select(func.count()).select_from(table)) for table in metadata.sorted_tables}


def test_task_alone_is_a_complete_job(client):
    answer = client.post("/v1/jobs", json={"task": "digits"})
    assert answer.status_code == 201
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["state"] == "queued"
    assert job["spec"]["model"]["width"] == 64
    assert client.get(answer.headers["location"]).json() == job


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"task": "digits", "model": {"widht": 64}}, "/model/widht"),
        ({"task": "digits", "model": {"width": -3}}, "/model/width"),
        ({"task": "digits", "search": [{"name": "learning_rate", "low": 1.0, "high": 0.1}]}, "/search/0/low"),
        ({"task": "mnist5k", "model": {"width": 4096}}, "/model/width"),
        ({"task": "nothing"}, "/task"),
        ({}, "/task"),
        ([], ""),
        ({"task": "digits", "name": "a\0b"}, "/name"),
    ],
)
def test_refused_job_names_the_field_and_leaves_nothing_behind(client, sqlite, spec, pointer):
    before = rows(sqlite)
    answer = client.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "once"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("invalid-request", 422)
    assert problem["errors"][0]["pointer"] == pointer
    assert rows(sqlite) == before


def test_ten_gigabyte_population_is_refused_with_the_width_that_fits(client):
    answer = client.post("/v1/jobs", json={"task": "mnist5k", "model": {"width": 3200}, "inner": {"seeds": 8}})
    error = answer.json()["errors"][0]
    assert answer.status_code == 422
    assert "allowed: 4.0 GiB" in error["message"]
    assert error["given"] is not None


def test_body_that_is_not_json_is_answered_with_the_place_of_the_mistake(client):
    answer = client.post("/v1/jobs", content='{"task":\n "digits",}', headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    assert answer.json()["type"] == "malformed-json"
    assert "line 2" in answer.json()["detail"]


@pytest.mark.parametrize("content", ["[" * 100_000, "\xff".encode("latin-1"), '{"seed": ' + "1" * 5000 + "}"])
def test_body_that_no_parser_takes_is_the_senders_mistake(client, content):
    answer = client.post("/v1/jobs", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == PROBLEM


def test_no_body_at_all_is_asked_for(client):
    answer = client.post("/v1/jobs")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"pointer": "", "message": "the request has no body; send a JSON object", "given": None}
    ]


def test_infinite_numbers_are_refused_and_shown(client):
    body = '{"task": "digits", "optimizer": {"learning_rate": 1e999}}'
    answer = client.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["given"] == "inf"


def test_same_idempotency_key_and_spec_give_the_same_job(client):
    headers = {"Idempotency-Key": "k1"}
    first = client.post("/v1/jobs", json={"task": "digits"}, headers=headers)
    again = client.post("/v1/jobs", json={"task": "digits", "seed": 0}, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert len(client.get("/v1/jobs").json()["items"]) == 1


def test_same_idempotency_key_with_another_spec_is_refused(client):
    headers = {"Idempotency-Key": "k1"}
    client.post("/v1/jobs", json={"task": "digits"}, headers=headers)
    answer = client.post("/v1/jobs", json={"task": "synthetic"}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["type"] == "idempotency-conflict"


def test_empty_idempotency_key_is_refused_with_what_is_allowed(client):
    answer = client.post("/v1/jobs", json={"task": "digits"}, headers={"Idempotency-Key": ""})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["message"].endswith("allowed: at least 1")


def test_idempotency_key_that_is_too_long_is_refused(client):
    answer = client.post("/v1/jobs", json={"task": "digits"}, headers={"Idempotency-Key": "k" * 201})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/Idempotency-Key"


def test_list_filters_and_pages_newest_first(client, work):
    digits = [work.queued() for _ in range(3)]
    work.queued(task="synthetic")
    done = work.succeeded()
    newest = client.get("/v1/jobs", params={"task": "digits", "limit": 2}).json()
    assert [job["id"] for job in newest["items"]] == [done, digits[2]]
    rest = client.get("/v1/jobs", params={"task": "digits", "limit": 2, "cursor": newest["next_cursor"]}).json()
    assert [job["id"] for job in rest["items"]] == [digits[1], digits[0]]
    assert rest["next_cursor"] is None
    assert [job["id"] for job in client.get("/v1/jobs", params={"state": "succeeded"}).json()["items"]] == [done]


def test_list_is_searched_by_name_and_by_the_name_of_a_data_set(client, work):
    dataset = client.post("/v1/datasets", files={"file": ("whales.csv", CSV)}).json()["id"]
    on_it = client.post("/v1/jobs", json={"task": dataset}).json()["id"]
    percent = work.queued(name="50% off")
    work.queued(name="50 off")
    for search, found in (("WHALE", [on_it]), ("0% o", [percent]), (on_it[-6:], [on_it])):
        assert [job["id"] for job in client.get("/v1/jobs", params={"search": search}).json()["items"]] == found


def test_bad_query_is_refused_by_name(client):
    bad = {
        "state=gone": "/state",
        "task=%00": "/task",
        "limit=0": "/limit",
        "search=%00": "/search",
        "search=": "/search",
        "stat=queued": "/stat",
        "cursor=zz": "/cursor",
    }
    for query, pointer in bad.items():
        answer = client.get(f"/v1/jobs?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), query
        assert answer.json()["errors"][0]["pointer"] == pointer


def test_unknown_job_is_not_found_whatever_its_id_looks_like(client):
    for job_id in ("job_00000000000000000000000000", "nonsense", "%00", "job_" + "0" * 5000):
        for path in ("", "/events", "/metrics", "/result", "/plans"):
            answer = client.get(f"/v1/jobs/{job_id}{path}")
            assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM), (job_id, path)


def test_etag_answers_304_until_the_job_changes(client, work):
    job_id = work.queued()
    first = client.get(f"/v1/jobs/{job_id}")
    tag = first.headers["etag"]
    for given in (tag, f'"other", W/{tag}', "*"):
        same = client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": given})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    work.claim(job_id)
    changed = client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_cancel_ends_a_waiting_job_and_asks_a_running_one(client, work):
    waiting, running = work.queued(), work.running().job_id
    answer = client.post(f"/v1/jobs/{waiting}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    answer = client.post(f"/v1/jobs/{running}/cancel")
    assert (answer.status_code, answer.json()["state"], answer.json()["cancel_requested"]) == (202, "running", True)
    done = work.succeeded()
    assert client.post(f"/v1/jobs/{done}/cancel").json()["state"] == "succeeded"


def test_metrics_are_read_by_name(client, work):
    job_id = work.running().job_id
    items = client.get(f"/v1/jobs/{job_id}/metrics", params={"series": ["loss", "none"]}).json()["items"]
    assert items == [{"series": "loss", "steps": [0, 1], "values": [1.0, 0.5]}]
    every = client.get(f"/v1/jobs/{job_id}/metrics").json()["items"]
    assert [points["series"] for points in every] == ["loss", "loss_stderr"]
    assert client.get(f"/v1/jobs/{job_id}/metrics?series=%00").status_code == 422
    assert client.get(f"/v1/jobs/{job_id}/metrics?max_points=1").json()["errors"][0]["pointer"] == "/max_points"


def test_result_is_there_when_the_job_has_succeeded(client, work):
    job_id = work.succeeded()
    result = client.get(f"/v1/jobs/{job_id}/result").json()
    assert result["best"]["test"]["mean"] == 0.25


@pytest.mark.parametrize(
    ("state", "words"), [("queued", "follow"), ("running", "follow"), ("failed", "every run diverged")]
)
def test_result_that_is_not_there_is_a_conflict_that_says_where_the_job_stands(client, work, state, words):
    made = getattr(work, state)()
    answer = client.get(f"/v1/jobs/{made if isinstance(made, str) else made.job_id}/result")
    assert (answer.status_code, answer.headers["content-type"]) == (409, PROBLEM)
    problem = answer.json()
    assert (problem["type"], problem["state"]) == ("not-finished", state)
    assert words in problem["detail"]


def test_method_and_path_that_do_not_exist_are_problems(client):
    answer = client.put("/v1/tasks", json={})
    assert (answer.status_code, answer.headers["content-type"], answer.headers["allow"]) == (405, PROBLEM, "GET")
    assert answer.json()["detail"] == "PUT is not allowed at /v1/tasks; allowed: GET"
    assert client.get("/v1/nothing").headers["content-type"] == PROBLEM


def test_a_database_that_does_not_answer_is_a_503_and_not_a_bug(settings, tmp_path):
    unreachable = Database(f"postgresql://nobody@/none?host={tmp_path}")
    with background(create_app(settings, database=unreachable)) as url, httpx.Client(base_url=url) as client:
        job = "/v1/jobs/job_01m80sj274xfrgzs2apwfkgcwp"
        answers = [client.post("/v1/jobs", json={"task": "digits"}), client.get("/v1/jobs"), client.get(job)]
        for answer in answers:
            assert (answer.status_code, answer.headers["content-type"], answer.headers["retry-after"]) == (
                503,
                PROBLEM,
                "2",
            )
            assert answer.json()["type"] == "database-away"
        page = client.get("/")
        assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert "the database does not answer" in page.text
    unreachable.dispose()


def test_a_refused_method_names_those_of_every_route_at_the_path(client):
    answer = client.delete("/v1/jobs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert answer.json()["detail"] == "DELETE is not allowed at /v1/jobs; allowed: GET, POST"


def test_tasks_and_workers_are_listed(client):
    assert [task["name"] for task in client.get("/v1/tasks").json()["items"]] == sorted(TASKS)
    assert client.get("/v1/workers").json() == {"items": []}


def test_schedules_are_listed_with_formula_searchable_shape_and_schema(client):
    items = {item["name"]: item for item in client.get("/v1/schedules").json()["items"]}
    assert set(items) == set(SCHEDULES)
    knots = items["knots"]
    assert knots["searchable"] == ["warmup_fraction", "knot"]
    assert knots["schema"]["properties"]["knots"]["maxItems"] == 32
    assert knots["title"] == "Knots" and "log(knots)" in knots["formula"]


def test_every_documented_answer_of_a_bad_request_is_a_problem(client):
    document = client.get("/openapi.json").json()
    operations = [(path, method, spec) for path, item in document["paths"].items() for method, spec in item.items()]
    assert {"/v1/jobs", "/v1/jobs/{job_id}/events", "/v1/plans/{plan_id}"} <= {path for path, _, _ in operations}
    for path, method, operation in operations:
        assert "4XX" in operation["responses"], (method, path)
        assert PROBLEM in operation["responses"]["4XX"]["content"], (method, path)
        assert "422" not in operation["responses"], (method, path)


def test_failure_of_the_server_is_a_problem_without_its_insides(client, sqlite):
    job_id = client.post("/v1/jobs", json={"task": "digits"}).json()["id"]
    with sqlite.transaction() as session:
        session.execute(update(jobs).values(spec={"task": "nobody knows this task"}))
    answer = client.get(f"/v1/jobs/{job_id}")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "nobody knows" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_chunked_body_over_the_limit_is_cut_off(client):
    url = urlsplit(str(client.base_url))
    with socket.create_connection((url.hostname, url.port), timeout=10) as raw:
        raw.sendall(
            f"POST /v1/jobs HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
        )
        for chunk in [b" " * 65_536] * 16 + [b" "]:
            raw.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        answer = b""
        while part := raw.recv(65_536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 413 " in head.splitlines()[0]
    assert json.loads(body)["type"] == "too-large"


def test_a_job_pauses_and_goes_on(client, work):
    waiting, running, ended = work.queued(), work.running(), work.succeeded()
    assert client.post(f"/v1/jobs/{waiting}/pause").json()["state"] == "paused"
    assert client.post(f"/v1/jobs/{waiting}/resume").json()["state"] == "queued"
    asked = client.post(f"/v1/jobs/{running.job_id}/pause")
    assert (asked.status_code, asked.json()["state"], asked.json()["pause_requested"]) == (202, "running", True)
    assert not client.post(f"/v1/jobs/{running.job_id}/resume").json()["pause_requested"]
    assert client.post(f"/v1/jobs/{ended}/pause").json()["state"] == "succeeded"
    assert client.post(f"/v1/jobs/{waiting[:-1]}/pause").status_code == 404


def test_a_worker_is_drained_by_its_name(client, sqlite):
    with sqlite.transaction() as s:
        facts = {"host": "h", "device": "cpu", "threads": 1, "started_at": datetime.now(UTC)}
        workers.seen(s, "h-1:2:3.00:0", **facts, job_id=None)
    assert client.post("/v1/workers/h-1:2:3.00:0/drain").json()["draining"]
    assert client.get("/v1/workers").json()["items"][0]["draining"]
    missing = client.post("/v1/workers/nobody/drain")
    assert (missing.status_code, missing.json()["type"]) == (404, "not-found")
