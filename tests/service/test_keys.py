"""API keys and owners: nobody without a key, nobody but the owner, on every route there is."""

import hashlib
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import text

from service.app import create_app
from service.security import FORMS
from service.serve import OpenToAllError, background, run
from service.settings import ServiceSettings
from store import keys
from store.database import Database
from windtunnel import Client
from windtunnel.client import Forbidden, NotFound, Pacing, Unauthorized

CSV = "a,target\n" + "".join(f"{index},{index % 7}.5\n" for index in range(60))

RUNS = {
    "parameters": [10.0**power for power in range(4, 10)],
    "loss": [2 + 100 * 10 ** (-0.3 * power) for power in range(4, 10)],
}
"""A table of runs that L(N) fits."""

OPEN = {"/healthz", "/readyz", "/sign-in", "/sign-out", "/static/{name}", "/favicon.ico", "/openapi.json"}
"""What answers without a key."""


def key_of(database: Database, owner: str, *, operator: int = 0) -> str:
    with database.transaction() as session:
        return keys.create(session, "test", owner=owner, operator=operator).key


@pytest.fixture
def app(database: Database, settings: ServiceSettings) -> FastAPI:
    return create_app(settings, database=database)


@pytest.fixture
def keyed(app: FastAPI, database: Database) -> Iterator[httpx.Client]:
    """A server with keys, once on SQLite and once on PostgreSQL; the client has none."""
    key_of(database, "local", operator=1)
    with background(app) as url, httpx.Client(base_url=url, timeout=10) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Every method and path that the application has, pages among them, and all of the OpenAPI document."""
    found = {(method, route.path) for route in iter_route_contexts(app.routes) for method in route.methods or ()}
    document = app.openapi()["paths"]
    described = {(method.upper(), path) for path, methods in document.items() for method in methods}
    assert described <= found
    return sorted((method, path) for method, path in found if method != "HEAD")


def sent(method: str, path: str, body: dict[str, object]) -> dict[str, object]:
    """What a request sends: JSON, a form to the pages, a form with a file where data sets are."""
    if method != "POST":
        return {}
    if FORMS.fullmatch(path):
        return {"data": {"width": "256", "seed": "1"}}
    return {"files": {"file": ("runs.csv", CSV)}} if re.search("/datasets(/|$)", path) else {"json": body}


def test_nobody_gets_an_answer_without_a_key(keyed, app):
    asked = [(method, path) for method, path in routes(app) if path not in OPEN]
    assert len(asked) > 25
    for method, path in asked:
        address = re.sub(r"\{.*?\}", "x", path)
        body = sent(method, path, {})
        answer = keyed.request(method, address, **body)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert keyed.request(method, address, headers=bearer("wt_wrong"), **body).status_code == 401


BODIES = {"/v1/jobs/{job_id}/plans": {"width": 256}, "/v1/jobs/{job_id}/fork": {"overrides": {"seed": 1}}}


def test_a_strangers_id_is_404_on_every_route(keyed, app, database, work_on_either):
    job_id = work_on_either.succeeded()
    own, strange = bearer(key_of(database, "local")), bearer(key_of(database, "stranger", operator=1))
    plain = bearer(key_of(database, "stranger"))
    plan_id = keyed.post(f"/v1/jobs/{job_id}/plans", json={"width": 256}, headers=own).json()["id"]
    key_id = keyed.get("/v1/keys", headers=own).json()["items"][0]["id"]
    dataset_id = keyed.post("/v1/datasets", files={"file": ("runs.csv", CSV)}, headers=own).json()["id"]
    fit_id = keyed.post("/v1/laws/fits", json={"columns": RUNS, "laws": ["loss_parameters"]}, headers=own).json()["id"]
    webhook_id = keyed.post("/v1/webhooks", json={"url": "https://192.0.32.8/"}, headers=own).json()["id"]
    ids = {
        "webhook_id": webhook_id,
        "dataset_id": dataset_id,
        "fit_id": fit_id,
        "job_id": job_id,
        "plan_id": plan_id,
        "key_id": key_id,
        "name": "loss",
    }
    asked = [(method, path) for method, path in routes(app) if re.search(r"\{\w+_id\}", path) and "{worker_id}" not in path]
    assert len(asked) >= 15
    for method, path in asked:
        address = path.format(**ids)
        body = sent(method, path, BODIES.get(path, {}))
        # The keys of others are an operator's matter, and nothing else of theirs is.
        stranger = (plain if "{key_id}" in path else strange) | {"accept": "application/json"}
        theirs = keyed.request(method, address, headers=stranger, **body)
        assert theirs.status_code == 404, (method, path)
        assert keyed.request("GET", f"/v1/jobs/{job_id}", headers=own).status_code == 200
    assert keyed.get(f"/v1/datasets/{dataset_id}", headers=own).status_code == 200
    assert keyed.get("/v1/laws/fits", headers=strange).json()["items"] == []
    assert keyed.get("/v1/datasets", headers=strange).json()["items"] == []
    assert keyed.get("/v1/webhooks", headers=strange).json()["items"] == []
    for method, path in asked:
        if method == "GET" and "{name}" not in path:
            answer = keyed.get(path.format(**ids), headers=own | {"accept": "application/json"})
            assert answer.status_code in (200, 204), path
    assert keyed.get("/v1/jobs", headers=strange).json()["items"] == []
    assert job_id not in keyed.get("/", headers=strange).text
    assert len(keyed.get("/v1/keys", headers=strange).json()["items"]) == 2


def test_idempotency_keys_are_each_owners_own(keyed, database):
    made = [
        keyed.post("/v1/jobs", json={"task": task}, headers=bearer(key_of(database, owner)) | {"idempotency-key": "same"})
        for owner, task in (("ann", "digits"), ("bob", "diabetes"))
    ]
    assert [answer.status_code for answer in made] == [201, 201]


def test_workers_show_only_ones_own_jobs(keyed, database, work_on_either):
    job_id = work_on_either.running().job_id
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO workers (id, host, device, threads, job_id, started_at, seen_at) "
                f"VALUES ('w', 'h', 'cpu', 1, '{job_id}', 1, 9e9)"
            )
        )
    seen = [
        keyed.get("/v1/workers", headers=bearer(key_of(database, owner))).json()["items"][0]["job_id"]
        for owner in ("local", "stranger")
    ]
    assert seen == [job_id, None]


def test_only_operators_drain_workers_and_read_the_fleets_metrics(keyed, database):
    plain, operator = bearer(key_of(database, "ann")), bearer(key_of(database, "ann", operator=1))
    refused = keyed.post("/v1/workers/w/drain", headers=plain)
    assert (refused.status_code, refused.json()["type"]) == (403, "operators-only")
    assert keyed.get("/metrics", headers=plain).status_code == 403
    assert keyed.post("/v1/workers/w/drain", headers=operator).status_code == 404
    assert keyed.get("/metrics", headers=operator).status_code == 200


def test_an_operator_manages_the_keys_of_every_owner_and_nobody_else_does(keyed, database):
    operator, ann = (bearer(key_of(database, owner, operator=rights)) for owner, rights in (("root", 1), ("ann", 0)))
    made = keyed.post("/v1/keys", json={"name": "ci", "owner": "bob"}, headers=operator).json()
    assert (made["owner"], made["operator"]) == ("bob", False)
    bob = bearer(made["key"])
    assert keyed.get("/v1/jobs", headers=bob).status_code == 200
    second = keyed.post("/v1/keys", json={"name": "x", "owner": "bob", "operator": True}, headers=operator).json()
    assert second["operator"]
    own = keyed.post("/v1/keys", json={"name": "mine"}, headers=operator).json()
    assert (own["owner"], own["operator"]) == ("root", True)
    refused = [
        keyed.post("/v1/keys", json={"name": "x", "owner": "bob"}, headers=ann),
        keyed.post("/v1/keys", json={"name": "x", "operator": True}, headers=ann),
        keyed.get("/v1/keys", params={"owner": "bob"}, headers=ann),
        keyed.get("/v1/keys", params={"everybody": True}, headers=ann),
    ]
    assert {(each.status_code, each.json()["type"]) for each in refused} == {(403, "operators-only")}
    assert keyed.delete(f"/v1/keys/{made['id']}", headers=ann).status_code == 404
    named = keyed.get("/v1/keys", params={"owner": "bob"}, headers=operator).json()["items"]
    assert [each["id"] for each in named] == [made["id"], second["id"]]
    everybody = keyed.get("/v1/keys", params={"everybody": True}, headers=operator).json()["items"]
    assert {"root", "ann", "bob"} <= {each["owner"] for each in everybody}
    assert keyed.delete(f"/v1/keys/{made['id']}", headers=operator).status_code == 200
    assert keyed.get("/v1/jobs", headers=bob).status_code == 401
    assert keyed.post("/v1/keys", json={"name": "x", "owner": "ann", "operator": False}, headers=ann).status_code == 201


def test_a_key_is_shown_once_and_only_its_digest_is_kept(keyed, database):
    made = keyed.post("/v1/keys", json={"name": "laptop"}, headers=bearer(key_of(database, "ann"))).json()
    assert re.fullmatch(r"wt_[A-Za-z0-9_-]{43}", made["key"])  # 43 characters of 6 bits hold 256
    assert (made["owner"], made["operator"], made["prefix"]) == ("ann", False, made["key"][:8])
    listed = keyed.get("/v1/keys", headers=bearer(made["key"])).text
    assert made["id"] in listed and made["key"] not in listed
    with database.snapshot() as session:
        rows = session.execute(text("SELECT * FROM api_keys")).all()
    assert made["key"] not in str(rows)
    assert hashlib.sha256(made["key"].encode()).hexdigest() in str(rows)


def test_a_revoked_key_opens_nothing_and_the_server_stays_shut(keyed, database):
    with database.snapshot() as session:
        made = keys.everybodys(session)
    key = key_of(database, "ann")
    mine = keyed.get("/v1/keys", headers=bearer(key)).json()["items"]
    revoked = keyed.delete(f"/v1/keys/{mine[0]['id']}", headers=bearer(key))
    assert revoked.status_code == 200 and revoked.json()["revoked_at"]
    assert keyed.get("/v1/jobs", headers=bearer(key)).status_code == 401
    with database.transaction() as session:
        for each in made:
            keys.revoke_anybodys(session, each.id)
    assert keyed.get("/v1/jobs").status_code == 401


def test_an_owner_has_no_more_keys_than_the_limit(keyed, database):
    key = bearer(key_of(database, "ann"))
    for _ in range(keys.MOST - 1):
        key_of(database, "ann")
    answer = keyed.post("/v1/keys", json={"name": "one more"}, headers=key)
    assert (answer.status_code, answer.json()["type"]) == (403, "quota")
    assert "50" in answer.json()["detail"]


def test_a_server_with_keys_answers_under_any_name(keyed, database):
    key = bearer(key_of(database, "ann"))
    assert keyed.get("/v1/jobs", headers=key | {"host": "tunnel.example"}).status_code == 200
    assert keyed.get("/v1/jobs", headers={"host": "tunnel.example"}).status_code == 401


def test_signing_in_and_out_with_plain_forms(keyed, database, work_on_either):
    job_id, key = work_on_either.queued(), key_of(database, "local")
    page = keyed.get(f"/jobs/{job_id}")
    assert page.status_code == 401 and f'value="/jobs/{job_id}"' in page.text and 'action="/sign-in"' in page.text
    assert keyed.post("/sign-in", data={"key": "wt_wrong", "next": "/"}).status_code == 401
    entered = keyed.post("/sign-in", data={"key": key, "next": f"/jobs/{job_id}"})
    assert (entered.status_code, entered.headers["location"]) == (303, f"/jobs/{job_id}")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert keyed.get(f"/jobs/{job_id}").status_code == 200
    assert "signed in as <strong>local" in keyed.get("/sign-in").text
    away = {"origin": "http://evil.example"}
    assert keyed.post(f"/v1/jobs/{job_id}/cancel", headers=away).status_code == 403
    assert keyed.post("/sign-out", headers=away).status_code == 403
    assert keyed.post("/sign-out").status_code == 303
    assert keyed.get(f"/jobs/{job_id}").status_code == 401


@pytest.mark.parametrize("back", ["//evil.example", "http://evil.example", "/\\evil.example", "/\tx", "evil"])
def test_signing_in_leads_nowhere_else(keyed, database, back):
    entered = keyed.post("/sign-in", data={"key": key_of(database, "ann"), "next": back})
    assert entered.headers["location"] == "/"


def test_the_client_sends_its_key(keyed, database, monkeypatch):
    url, quick = str(keyed.base_url), Pacing(retries=0)
    with Client(url, pacing=quick) as client, pytest.raises(Unauthorized, match="Authorization: Bearer"):
        client.tasks()
    monkeypatch.setenv("WINDTUNNEL_API_KEY", key_of(database, "ann"))
    with Client(url, pacing=quick) as client:
        job = client.jobs.create(task="digits")
        assert [each.id for each in client.jobs.list()] == [job.id]
    with Client(url, api_key=key_of(database, "bob"), pacing=quick) as client:
        with pytest.raises(NotFound):
            client.jobs.get(job.id)
        with pytest.raises(Forbidden):
            client._transport.post("/v1/workers/w/drain", None)


def test_a_public_address_needs_a_key_first(sqlite, sqlite_url):
    settings = ServiceSettings(host="192.0.2.1", port=0, database_url=sqlite_url)
    with pytest.raises(OpenToAllError, match=r"without keys anybody could start jobs.*windtunnel keys create"):
        run(settings)
    key_of(sqlite, "ann")
    # The address is for documentation and no machine's own: past the check for keys it cannot be listened on.
    with pytest.raises(Exception, match=r"cannot listen on 192\.0\.2\.1"):
        run(settings)


def test_without_keys_a_key_that_is_sent_is_refused_rather_than_ignored(either):
    assert either.get("/v1/jobs").status_code == 200
    answer = either.get("/v1/jobs", headers=bearer("wt_x"))
    assert answer.status_code == 401 and "none was made" in answer.json()["detail"]
    assert "has no API keys" in either.get("/sign-in").text


def test_the_first_key_shuts_a_running_server(either):
    made = either.post("/v1/keys", json={"name": "first"}).json()
    assert (made["owner"], made["operator"]) == ("local", True)
    assert either.get("/v1/jobs").status_code == 401
    assert either.get("/v1/jobs", headers=bearer(made["key"])).status_code == 200
