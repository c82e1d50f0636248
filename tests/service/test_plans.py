"""The routes of transfer plans."""

import pytest
import yaml

PROBLEM = "application/problem+json"


def test_plan_is_made_kept_and_listed(client, work):
    job_id = work.succeeded()
    answer = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 1024, "steps": 500})
    assert answer.status_code == 201
    plan = answer.json()
    assert answer.headers["location"] == f"/v1/plans/{plan['id']}"
    assert (plan["width"], plan["depth"], plan["steps"], plan["forced"]) == (1024, 2, 500, False)
    assert client.get(answer.headers["location"]).json() == plan
    assert client.get(f"/v1/jobs/{job_id}/plans").json() == {"items": [plan], "next_cursor": None}
    assert client.get(f"/v1/jobs/{job_id}").json()["plans"] == [plan["id"]]


def test_plan_is_exported_in_each_format(client, work):
    plan = client.post(f"/v1/jobs/{work.succeeded()}/plans", json={"width": 128}).json()
    as_yaml = client.get(f"/v1/plans/{plan['id']}?format=yaml")
    assert as_yaml.headers["content-type"].startswith("application/yaml")
    assert yaml.safe_load(as_yaml.text)["id"] == plan["id"]
    as_torch = client.get(f"/v1/plans/{plan['id']}?format=torch")
    assert as_torch.headers["content-type"] == "text/x-python; charset=utf-8"
    compile(as_torch.text, "plan.py", "exec")
    wrong = client.get(f"/v1/plans/{plan['id']}?format=tourch")
    assert wrong.json()["errors"][0]["message"] == (
        "format cannot be 'tourch'; did you mean 'torch'? allowed: json, yaml, torch, huggingface, optax, nanogpt"
    )


@pytest.mark.parametrize(("kind", "imported"), [("huggingface", "transformers"), ("optax", "optax")])
def test_plan_is_a_python_file_for_other_libraries(client, work, kind, imported):
    plan = client.post(f"/v1/jobs/{work.succeeded()}/plans", json={"width": 128}).json()
    answer = client.get(f"/v1/plans/{plan['id']}?format={kind}")
    assert answer.headers["content-type"] == "text/x-python; charset=utf-8"
    assert answer.headers["content-disposition"] == f'inline; filename="{plan["id"]}_{kind}.py"'
    assert f"import {imported}" in answer.text or f"from {imported} import" in answer.text
    compile(answer.text, "plan.py", "exec")


def test_a_format_that_cannot_express_the_plan_is_refused_by_field(client, work):
    plan = client.post(f"/v1/jobs/{work.succeeded()}/plans", json={"width": 128}).json()
    answer = client.get(f"/v1/plans/{plan['id']}?format=nanogpt")
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert answer.json()["errors"] == [
        {
            "pointer": "/format",
            "message": "nanoGPT has transformers, and this plan is for family 'mlp'; allowed: transformer",
            "given": "nanogpt",
        }
    ]


@pytest.mark.parametrize(
    ("target", "pointer"),
    [
        ({"width": 4}, "/width"),
        ({"width": 128, "depth": 1}, "/depth"),
        ({}, "/width"),
        ({"width": 128, "forse": True}, "/forse"),
    ],
)
def test_target_out_of_reach_is_refused_by_field(client, work, target, pointer):
    job_id = work.succeeded()
    answer = client.post(f"/v1/jobs/{job_id}/plans", json=target)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert client.get(f"/v1/jobs/{job_id}/plans").json() == {"items": [], "next_cursor": None}


def test_failed_coordinate_check_refuses_the_plan_unless_forced(client, work):
    job_id = work.succeeded(verdict="fail")
    refused = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 1024})
    assert (refused.status_code, refused.headers["content-type"]) == (409, PROBLEM)
    assert refused.json()["type"] == "transfer-refused"
    assert client.get(f"/v1/jobs/{job_id}/plans").json() == {"items": [], "next_cursor": None}
    forced = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 1024, "force": True})
    assert (forced.status_code, forced.json()["forced"]) == (201, True)


def test_plan_of_a_job_without_a_result_is_a_conflict(client, work):
    answer = client.post(f"/v1/jobs/{work.running().job_id}/plans", json={"width": 1024})
    assert (answer.status_code, answer.json()["type"], answer.json()["state"]) == (409, "not-finished", "running")


def test_unknown_plan_is_not_found(client):
    for plan_id in ("plan_00000000000000000000000000", "nonsense", "%00"):
        answer = client.get(f"/v1/plans/{plan_id}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


def test_another_batch_size_wants_a_noise_scale_and_a_larger_data_set_wants_less_decay(client, work):
    job_id = work.succeeded()
    base = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 128}).json()
    refused = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 128, "batch_size": 256})
    assert refused.status_code == 409 and "measured no gradient noise scale" in refused.json()["detail"]
    forced = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 128, "batch_size": 256, "force": True}).json()
    assert forced["batch_size"] == 256 and forced["forced"]
    larger = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 128, "examples": 10780}).json()
    for before, batch, data in zip(base["tensors"], forced["tensors"], larger["tensors"], strict=True):
        assert batch["learning_rate"] == pytest.approx(2 * before["learning_rate"])
        assert data["learning_rate"] == before["learning_rate"]
        assert data["weight_decay"] == pytest.approx(before["weight_decay"] / 10)
    wrong = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 128, "batch_size": 0})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["pointer"] == "/batch_size"


def test_a_plan_counts_the_large_run_and_predicts_its_loss_by_a_fit(client, work):
    """C = 6 N B S; the law's own formula at the plan's N and D."""
    job_id = work.succeeded()
    sizes, tokens = [10.0**power for power in range(3, 9)], [10.0**power for power in range(4, 10)]
    columns = {
        "parameters": [n for n in sizes for _ in tokens],
        "tokens": tokens * len(sizes),
        "loss": [0.3 + 5 / n**0.3 + 20 / d**0.4 for n in sizes for d in tokens],
    }
    fit = client.post("/v1/laws/fits", json={"columns": columns, "laws": ["hoffmann"]}).json()
    plan = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 1024, "steps": 500, "law_fit": fit["id"]}).json()
    assert (
        plan["non_embedding"]
        == plan["parameters"]
        == sum(int.__mul__(*row["shape"]) if len(row["shape"]) == 2 else row["shape"][0] for row in plan["tensors"])
    )
    data = plan["batch_size"] * 500
    assert plan["compute"] == 6 * plan["non_embedding"] * data
    told = plan["predicted_loss"]
    assert (told["fit"], told["law"], told["beyond"]) == (fit["id"], "hoffmann", {})
    assert told["value"] == pytest.approx(0.3 + 5 / plan["non_embedding"] ** 0.3 + 20 / data**0.4, rel=1e-3)
    far = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 65536, "law_fit": fit["id"]}).json()
    assert far["predicted_loss"]["beyond"]["parameters"] == pytest.approx(far["non_embedding"] / 1e8)
    assert "times the largest run" in client.get(f"/plans/{far['id']}").text
    none = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 1024, "law_fit": "law_1"})
    assert (none.status_code, none.json()["errors"][0]["pointer"]) == (422, "/law_fit")
