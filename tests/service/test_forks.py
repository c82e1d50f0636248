"""Jobs made from others, bundles whose hashes hold, and quotas."""

import hashlib
import io
import json
import zipfile

import httpx
import pytest

from hpo.families.facts.registry import proxy_tensors
from hpo.training.space import Space
from service.app import create_app
from service.jobs.forking import begun_at, merged
from service.serve import background
from service.settings import ServiceSettings
from windtunnel.tasks import TASKS
from windtunnel.types import JobSpec


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


BEST = {
    f"{name}.{role}": value
    for name, roles in {
        "learning_rate": {"input": 0.01, "hidden": 0.02, "output": 0.03, "vector": 0.01, "scalar": 0.01},
        "weight_decay": {"input": 0.1, "hidden": 0.2, "output": 0.3},
    }.items()
    for role, value in roles.items()
}
"""Of the results that `work` makes."""


def test_a_fork_from_the_best_starts_there_and_says_so(either, work_on_either):
    parent = either.get(f"/v1/jobs/{work_on_either.succeeded()}").json()
    body = {"from_best": True, "overrides": {"model": {"width": 128}, "initial": {"weight_decay.hidden": 0.5}}}
    made = either.post(f"/v1/jobs/{parent['id']}/fork", json=body)
    assert made.status_code == 201, made.text
    spec = made.json()["spec"]
    assert spec["initial"] == BEST | {"weight_decay.hidden": 0.5}
    assert spec == {**parent["spec"], "model": {**parent["spec"]["model"], "width": 128}, "initial": spec["initial"]}
    assert either.get(f"/v1/jobs/{made.json()['id']}").json()["spec"] == spec
    # The study begins at these very values.
    chosen = JobSpec.model_validate(spec)
    space = Space.from_spec(chosen, proxy_tensors(chosen.model, TASKS["digits"]))
    assert space.as_dict(space.start()) == pytest.approx(spec["initial"], rel=1e-12)
    # What it began with goes on to its own forks, unless those are begun anew.
    again = either.post(f"/v1/jobs/{made.json()['id']}/fork", json={"overrides": {"seed": 1}}).json()
    assert again["spec"]["initial"] == spec["initial"]
    anew = either.post(f"/v1/jobs/{made.json()['id']}/fork", json={"overrides": {"initial": None}}).json()
    assert anew["spec"]["initial"] == {}


def test_a_best_at_the_end_of_its_range_may_have_been_rounded():
    spec = JobSpec.model_validate({"task": "digits", "search": [{"name": "learning_rate", "low": 1e-5, "high": 0.9}]})
    assert begun_at(spec, {"learning_rate": 0.9 * (1 + 1e-15)}).initial == {"learning_rate": 0.9}


def test_a_parent_without_a_result_has_no_best(client, work):
    for job_id, state in ((work.queued(), "queued"), (work.failed(), "failed")):
        answer = client.post(f"/v1/jobs/{job_id}/fork", json={"from_best": True})
        assert (answer.status_code, answer.json()["type"], answer.json()["state"]) == (409, "not-finished", state)
        assert client.post(f"/v1/jobs/{job_id}/fork", json={"from_best": False}).status_code == 201


RATES, DECAYS = ({"name": name, "scope": "role"} for name in ("learning_rate", "weight_decay"))


@pytest.mark.parametrize(
    ("overrides", "count", "words"),
    [
        ({"search": [RATES]}, 3, "weight_decay.input, which the new job does not search"),
        ({"search": [{"name": "learning_rate"}, DECAYS]}, 5, "learning_rate.input"),
        ({"model": {"family": "mlp", "depth": 1}}, 2, "learning_rate.hidden, which"),
        (
            {"search": [{**RATES, "high": 0.015}, DECAYS]},
            2,
            "learning_rate.hidden is 0.02, outside the search range 1e-05 to 0.015",
        ),
    ],
)
def test_a_best_that_the_new_job_has_no_place_for_is_refused_by_name(client, work, overrides, count, words):
    answer = client.post(f"/v1/jobs/{work.succeeded()}/fork", json={"from_best": True, "overrides": overrides})
    assert (answer.status_code, answer.json()["type"]) == (422, "fork-refused")
    assert words in answer.json()["detail"] and "leave from_best out" in answer.json()["detail"]
    assert len(answer.json()["errors"]) == count


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
