"""Jobs made from others, bundles whose hashes hold, and quotas."""

import hashlib
import io
import json
import zipfile

import httpx
import pytest

from service.app import create_app
from service.jobs.forking import merged
from service.serve import background
from service.settings import ServiceSettings


@pytest.mark.parametrize(
    ("target", "patch", "wanted"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_is_that_of_the_standard(target, patch, wanted):
    assert merged(target, patch) == wanted


def test_a_fork_is_the_parent_but_for_what_is_overridden(either, work_on_either):
    parent = either.get(f"/v1/jobs/{work_on_either.succeeded(seed=7, name='first')}").json()
    body = {"overrides": {"model": {"width": 128}, "name": "wider"}}
    made = either.post(f"/v1/jobs/{parent['id']}/fork", json=body, headers={"idempotency-key": "k"})
    assert made.status_code == 201 and made.headers["location"] == f"/v1/jobs/{made.json()['id']}"
    spec = parent["spec"]
    assert made.json()["spec"] == {**spec, "name": "wider", "model": {**spec["model"], "width": 128}}
    assert (made.json()["state"], made.json()["progress"]["outer_step"]) == ("queued", 0)
    assert either.post(f"/v1/jobs/{parent['id']}/fork", json=body, headers={"idempotency-key": "k"}).json() == made.json()
    same = either.post(f"/v1/jobs/{parent['id']}/fork", json={}).json()
    assert same["spec"] == spec and same["id"] != parent["id"]
    other = either.post(f"/v1/jobs/{parent['id']}/fork", json={"overrides": {"schedule": {"name": "constant"}}})
    assert other.json()["spec"]["schedule"]["name"] == "constant"


def test_an_override_that_cannot_be_is_named_where_it_stands(client, work):
    answer = client.post(f"/v1/jobs/{work.queued()}/fork", json={"overrides": {"model": {"widht": 3}}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/overrides/model/widht"
    assert "did you mean 'width'" in answer.json()["errors"][0]["message"]


def test_a_bundle_holds_everything_and_its_hashes_hold(either, work_on_either):
    job_id = work_on_either.succeeded()
    plan = either.post(f"/v1/jobs/{job_id}/plans", json={"width": 256}).json()
    answer = either.get(f"/v1/jobs/{job_id}/bundle")
    assert answer.headers["content-type"] == "application/zip"
    assert either.get(f"/v1/jobs/{job_id}/bundle").content == answer.content
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name.removeprefix(f"{job_id}/"): archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    sums = {name: {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)} for name, body in files.items()}
    assert manifest == {"job_id": job_id, "files": sums}
    assert json.loads(files["result.json"]) == either.get(f"/v1/jobs/{job_id}/result").json()
    assert json.loads(files[f"plans/{plan['id']}.json"]) == plan
    assert json.loads(files["metrics.json"]) == either.get(f"/v1/jobs/{job_id}/metrics").json()["items"]
    log = [json.loads(line) for line in files["events.jsonl"].splitlines()]
    assert log == either.get(f"/v1/jobs/{job_id}/events", headers={"accept": "application/json"}).json()["items"]
    assert json.loads(files["versions.json"])["computed_with"] == {"torch": "2"}
    again = either.post("/v1/jobs", content=files["spec.json"], headers={"content-type": "application/json"})
    assert again.json()["spec"] == either.get(f"/v1/jobs/{job_id}").json()["spec"]


def test_a_bundle_of_a_job_that_has_not_ended_has_no_result(client, work):
    answer = client.get(f"/v1/jobs/{work.queued()}/bundle")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert not [name for name in archive.namelist() if name.endswith("result.json")]


def test_an_owner_has_no_more_live_jobs_than_the_quota(sqlite, tmp_path):
    settings = ServiceSettings(data_dir=tmp_path, max_jobs=2)
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url) as client:
        first = client.post("/v1/jobs", json={"task": "digits"}, headers={"idempotency-key": "a"}).json()
        client.post("/v1/jobs", json={"task": "digits"})
        refused = client.post("/v1/jobs", json={"task": "digits"})
        assert (refused.status_code, refused.json()["type"]) == (403, "quota")
        assert "you have 2 jobs that have not ended; allowed: 2" in refused.json()["detail"]
        assert client.post(f"/v1/jobs/{first['id']}/fork", json={}).status_code == 403
        # Sent again, it asks for nothing more.
        assert client.post("/v1/jobs", json={"task": "digits"}, headers={"idempotency-key": "a"}).status_code == 201
        client.post(f"/v1/jobs/{first['id']}/cancel")
        assert client.post("/v1/jobs", json={"task": "digits"}).status_code == 201
