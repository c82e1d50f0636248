"""``POST /v1/estimates``, and the lists of estimators and hyperparameters."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from store import workers
from windtunnel.types import ESTIMATORS, HyperparameterName, JobSpec
from windtunnel.types.estimates import REFERENCE, MachineSpeed
from windtunnel.types.estimators import that_can
from windtunnel.types.listings import listed_estimators, listed_hyperparameters
from windtunnel.types.method import MethodSpec

SLOW = MachineSpeed(dispatch_seconds=1e-3, flops_per_second=1e9, bytes_per_second=1e8)


def test_an_estimate_needs_a_spec_alone_and_queues_nothing(client):
    answer = client.post("/v1/estimates", json={"task": "digits"})
    assert answer.status_code == 200
    found = answer.json()
    assert [part["phase"] for part in found["phases"]] == ["scout", "tune", "finish", "certify", "check"]
    assert found["run_equivalents"] == pytest.approx(sum(part["run_equivalents"] for part in found["phases"]))
    assert (found["parameters"], found["hyperparameters"]) == (8970, 8)
    assert found["memory"]["fits"] and found["changes"] == []
    assert (found["measured_by"], found["speed"]) == (None, REFERENCE.model_dump())
    assert client.get("/v1/jobs").json()["items"] == []


def test_the_speed_is_that_of_the_worker_that_measured_its_own(either, database):
    reference = either.post("/v1/estimates", json={"task": "digits"}).json()
    started = datetime(2026, 1, 1, tzinfo=UTC)
    with database.transaction() as s:
        for name in ("unmeasured", "slow"):
            workers.seen(s, name, host="h", device="cpu", threads=1, started_at=started, job_id=None)
        workers.measured(s, "slow", SLOW)
    found = either.post("/v1/estimates", json={"task": "digits"}).json()
    assert (found["measured_by"], found["speed"]) == ("slow", SLOW.model_dump())
    assert found["seconds"] > 10 * reference["seconds"]
    assert {worker["id"]: worker["speed"] for worker in either.get("/v1/workers").json()["items"]} == {
        "slow": SLOW.model_dump(),
        "unmeasured": None,
    }


TOO_LARGE = {
    "all states of a transformer": (
        {"task": "python-text", "inner": {"steps": 5000}, "method": {"estimator": "reverse", "checkpointing": "none"}},
        "/method/checkpointing",
    ),
    "a graph": ({"task": "python-text", "inner": {"steps": 5000}, "method": {"estimator": "higher"}}, "/inner/steps"),
    "a resnet": (
        {"task": "mnist5k", "model": {"family": "resnet", "width": 2048, "depth": 8}, "inner": {"batch_size": 512}},
        "/model/width",
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_does_not_fit_is_estimated_with_what_would_and_refused_with_the_same_words(client, name):
    body, pointer = TOO_LARGE[name]
    found = client.post("/v1/estimates", json=body).json()
    assert not found["memory"]["fits"]
    refused = client.post("/v1/jobs", json=body)
    assert refused.status_code == 422
    assert refused.json()["errors"] == found["changes"]
    assert pointer in {entry["pointer"] for entry in found["changes"]}


def test_a_wrong_field_is_refused_as_in_a_job(client):
    answer = client.post("/v1/estimates", json={"task": "digits", "widht": 3})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/widht"


def test_estimators_are_listed_with_what_they_can_and_the_schema_of_their_settings(client):
    found = {entry["name"]: entry for entry in client.get("/v1/estimators").json()["items"]}
    assert set(found) == set(ESTIMATORS)
    assert "learning_rate" in found["implicit"]["cannot"] and "stationary" in found["implicit"]["why"]
    assert found["forward"]["cannot"] == [] and set(found["forward"]["schema"]["properties"]) == {"samples"}
    for name, entry in found.items():
        assert set(entry["can"]) | set(entry["cannot"]) == set(get_args(HyperparameterName))
        settings = entry["schema"]["properties"]
        assert list(settings) == entry["settings"]
        assert MethodSpec(estimator=name)
        assert all("description" in schema for schema in settings.values())


def test_hyperparameters_are_listed_with_ranges_scopes_and_the_estimators_that_can(client):
    found = {entry["name"]: entry for entry in client.get("/v1/hyperparameters").json()["items"]}
    assert list(found) == list(get_args(HyperparameterName))
    assert found["eps"]["scopes"] == ["global", "role", "tensor"] and found["beta1"]["scopes"] == ["global"]
    assert found["mixture_weight"]["each"] == "data source" and found["floor"]["each"] is None
    assert found["init_scale"]["estimators"] == that_can("init_scale") and "greedy" not in found["init_scale"]["estimators"]
    for entry in found.values():
        assert entry["least"] <= entry["low"] < entry["high"] <= entry["most"]


def test_tasks_show_kind_families_and_sources(client):
    found = {entry["name"]: entry for entry in client.get("/v1/tasks").json()["items"]}
    assert found["python-text"]["kind"] == "language" and found["python-text"]["families"] == ["transformer", "llama"]
    assert found["digits"]["sources"] == [str(digit) for digit in range(10)]
    assert JobSpec(task="digits").model.family == found["digits"]["families"][0]


def test_the_lists_are_those_of_the_types(client):
    assert len(client.get("/v1/estimators").json()["items"]) == len(listed_estimators())
    assert len(client.get("/v1/hyperparameters").json()["items"]) == len(listed_hyperparameters())


def test_an_estimate_says_that_it_counts_every_candidate_to_its_end(client):
    plain, stopping, budgeted = (
        client.post("/v1/estimates", json={"task": "digits", "outer": outer}).json()
        for outer in ({}, {"early_stopping": True}, {"early_stopping": True, "budget": 60})
    )
    assert plain["notes"] == [] and "an upper bound" in stopping["notes"][0] and "outer.budget" in budgeted["notes"][0]
    assert stopping["run_equivalents"] == plain["run_equivalents"]
    # Each look at a candidate takes its time, and candidates that wait take memory.
    assert stopping["seconds"] > plain["seconds"] and stopping["memory"]["plain"] >= plain["memory"]["plain"]
