"""A server without keys answers this machine only, and takes writes from nobody else's pages."""

import httpx
import pytest

from service.app import create_app
from service.security import HEADERS, hostname
from service.serve import background
from service.settings import ServiceSettings

PROBLEM = "application/problem+json"


def test_other_host_names_are_refused_against_dns_rebinding(client):
    port = client.base_url.port
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::2]",
        "127.0.0.1@evil",
    ):
        for path in ("/", "/v1/jobs", "/healthz"):
            answer = client.get(path, headers={"host": host})
            assert (answer.status_code, answer.headers["content-type"]) == (421, PROBLEM), host
            assert answer.json()["type"] == "wrong-host"


def test_every_loopback_name_is_answered(client):
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:8000"):
        assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_configured_name_is_answered(sqlite, tmp_path):
    settings = ServiceSettings(data_dir=tmp_path, allowed_hosts="tunnel.example, Other.example")
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url) as client:
        for host, status in (("tunnel.example", 200), ("other.example:443", 200), ("third.example", 421)):
            assert client.get("/healthz", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_write_from_another_site_is_refused(client, work, headers):
    job_id = work.queued()
    for path in ("/v1/jobs", f"/v1/jobs/{job_id}/cancel"):
        answer = client.post(path, json={"task": "digits"}, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (403, "foreign-origin")
        assert "None" not in answer.json()["detail"]
    assert [job["state"] for job in client.get("/v1/jobs").json()["items"]] == ["queued"]


def test_write_from_our_own_page_is_taken(client):
    origin = str(client.base_url).rstrip("/")
    answer = client.post("/v1/jobs", json={"task": "digits"}, headers={"origin": origin, "sec-fetch-site": "same-origin"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
def test_write_that_is_not_json_is_refused(client, kind):
    headers = {"content-type": kind} if kind else {}
    answer = client.post("/v1/jobs", content='{"task": "digits"}', headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "unsupported-media-type")
    assert client.get("/v1/jobs").json()["items"] == []


def test_empty_form_cannot_cancel(client, work):
    job_id = work.queued()
    answer = client.post(f"/v1/jobs/{job_id}/cancel", headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 415


def test_body_over_one_mebibyte_is_refused(client):
    body = '{"task": "digits", "name": "' + "x" * (1 << 20) + '"}'
    answer = client.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "too-large")
    assert "1,048,576" in answer.json()["detail"]


def test_every_answer_has_the_security_headers(client, work):
    paths = ("/", f"/jobs/{work.queued()}", "/v1/jobs", "/v1/nothing", "/static/page.css", "/jobs/nothing", "/healthz")
    for path in paths:
        answer = client.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
    refused = client.get("/", headers={"host": "evil.example"})
    assert refused.headers["x-frame-options"] == "DENY"


def test_head_is_get_without_the_body(client):
    answer = client.head("/v1/tasks")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == client.get("/v1/tasks").headers["content-length"]
    assert client.head("/v1/nothing").status_code == 404


def test_policy_allows_no_script_but_ours():
    policy = HEADERS["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_host_names_are_read_as_a_browser_reads_them():
    assert hostname("LocalHost:80") == "localhost"
    assert hostname("[::1]:80") == "::1"
    assert hostname("a@b") == "b"
    assert hostname("[oops") == ""
    assert hostname("") == ""
