"""Plans of values that no job found: made, checked, kept, listed, exported, refused by field; the API and its page."""

import pytest

VALUES = {"learning_rate": 0.003, "learning_rate.input": 0.01, "weight_decay": 0.1, "beta2": 0.95}
REQUEST = {"values": VALUES, "task": "digits", "model": {"width": 64}, "target": {"width": 64}}


def test_values_are_carried_after_a_coordinate_check(client):
    """The learning rate of hidden matrices falls with the width, their decay grows; betas stay (adamw, independent)."""
    answer = client.post("/v1/plans", json={**REQUEST, "target": {"width": 256}}, timeout=120)
    assert answer.status_code == 201, answer.text
    plan = answer.json()
    assert plan["job_id"] is None and plan["proxy_validation"] is None and not plan["forced"]
    assert plan["coordinate_check"]["verdict"] == "pass" and plan["beta2"] == 0.95
    rows = {row["role"]: row for row in plan["roles"]}
    assert rows["hidden"]["learning_rate"] == pytest.approx(0.003 / 4) and rows["hidden"]["weight_decay"] == pytest.approx(
        0.4
    )
    assert rows["input"]["learning_rate"] == 0.01 and rows["output"]["multiplier"] == 0.25
    assert client.get(answer.headers["location"]).json() == plan
    assert client.get("/v1/plans").json()["items"][0]["id"] == plan["id"]


def test_at_the_small_models_own_width_a_plan_is_the_given_values_and_needs_no_check(client):
    plan = client.post("/v1/plans", json=REQUEST).json()
    assert plan["coordinate_check"] is None and plan["hyperparameters"] == VALUES
    rates = {row["name"]: row["learning_rate"] for row in plan["tensors"]}
    assert rates["layers.0.weight"] == 0.01 and set(rates.values()) == {0.01, 0.003}
    assert plan["not_covered"][0].startswith("Not given with the values, and taken from the defaults: beta1 0.9")


def test_a_carried_plan_is_exported(client):
    plan = client.post("/v1/plans", json=REQUEST).json()
    for kind in ("json", "yaml", "torch", "huggingface", "optax"):
        answer = client.get(f"/v1/plans/{plan['id']}?format={kind}")
        assert answer.status_code == 200
        if kind in ("torch", "huggingface", "optax"):
            compile(answer.text, "plan.py", "exec")
            assert "from given values" in answer.text


WRONG = [
    ({"values": {"lr": 0.1}}, "/values/lr", "no hyperparameter 'lr'"),
    ({"values": {}}, "/values", "values has 0 items; allowed: 1 to"),
    ({"values": {"learning_rate": 1e9}}, "/values/learning_rate", "allowed: 1e-09 to 100"),
    ({"values": {"learning_rate": True}}, "/values/learning_rate", "number"),
    ({"values": {"learning_rate.hiden": 0.1}}, "/values/learning_rate.hiden", "no scope 'hiden'; allowed: input"),
    ({"values": {"learning_rate": 0.1, "momentum": 0.9}}, "/values/momentum", "momentum is a hyperparameter of sgd"),
    ({"values": {"learning_rate": 0.1, "beta1.hidden": 0.9}}, "/values/beta1.hidden", "one value for the whole model"),
    ({"values": {"weight_decay": 0.1}}, "/values/learning_rate", "no learning rate for layers.0.weight (input)"),
    ({"values": {"learning_rate.hidden": 0.1}}, "/values/learning_rate", "no learning rate for layers.0.weight"),
    ({"task": "digit"}, "/task", "no task 'digit'"),
    ({"target": {"width": 128, "steps": 900}}, "/inner/steps", "inner.steps is not"),
    ({"model": {"widht": 64}}, "/model/widht", "unknown field 'widht'; did you mean 'width'?"),
    ({"search": []}, "/search", "unknown field 'search'"),
    ({"transfer": {"ladder": {}}}, "/transfer/ladder", "unknown field 'ladder'"),
]
"""(change of a request, pointer of the error, words of its message)."""


def test_a_wrong_field_is_refused_by_its_pointer(client):
    for change, pointer, words in WRONG:
        answer = client.post("/v1/plans", json={**REQUEST, **change})
        assert answer.status_code == 422, answer.text
        first = answer.json()["errors"][0]
        assert first["pointer"] == pointer and words in first["message"], first


def test_without_torch_a_plan_for_another_width_is_refused_unless_forced(client, monkeypatch):
    """A server without the worker's packages has no coordinate check to show."""
    monkeypatch.setattr("service.plans.checking.NEEDED", ("a_package_that_is_not_installed",))
    wider = {**REQUEST, "target": {"width": 1024}}
    refused = client.post("/v1/plans", json=wider)
    assert refused.status_code == 409 and "have no coordinate check" in refused.json()["detail"]
    forced = client.post("/v1/plans", json={**wider, "force": True}).json()
    assert forced["forced"] and forced["not_covered"][0].startswith("Not given")
    assert any(line.startswith("Forced: these values have no coordinate check") for line in forced["not_covered"])


def test_a_carried_plan_is_deleted_and_listed_page_by_page(client, work):
    of_job = client.post(f"/v1/jobs/{work.succeeded()}/plans", json={"width": 128}).json()
    made = [client.post("/v1/plans", json=REQUEST).json()["id"] for _ in range(2)]
    page = client.get("/v1/plans?limit=2").json()
    assert [item["id"] for item in page["items"]] == made[::-1]
    rest = client.get(f"/v1/plans?limit=2&cursor={page['next_cursor']}").json()
    assert rest["items"][0]["id"] == of_job["id"] and rest["items"][0]["job_id"] == of_job["job_id"]
    assert client.delete(f"/v1/plans/{made[0]}").status_code == 204
    assert client.get(f"/v1/plans/{made[0]}").status_code == 404


def test_the_page_lists_plans_and_carries_values(client):
    form = {"task": "digits", "values": "learning_rate: 0.003\nweight_decay: 0.1\n", "base_width": "64", "width": "64"}
    made = client.post("/plans", data=form, follow_redirects=False)
    assert made.status_code == 303
    page = client.get(made.headers["location"])
    assert page.status_code == 200 and "given values" in page.text
    assert made.headers["location"].rpartition("/")[2] in client.get("/plans").text


def test_a_wrong_form_comes_back_with_what_is_wrong(client):
    for change, words in (
        ({"values": "lr: 1"}, "no hyperparameter"),
        ({"values": "learning_rate: 1\nlearning_rate: 2"}, "given twice"),
        ({"more": "{"}, "this is no JSON"),
        ({"more": '{"optimizer": {"name": "sdg"}}'}, "sdg"),
    ):
        form = {"task": "digits", "values": "learning_rate: 0.003", "width": "64", **change}
        answer = client.post("/plans", data=form)
        assert answer.status_code == 422 and words in answer.text and "Carry values of your own" in answer.text
