"""Plans from a real job: sizes, refusals, exports."""

import json

import pytest
import yaml

from windtunnel import InvalidRequest, NotFound, Plan, TransferPlan, ValidationFailed


@pytest.fixture(scope="module")
def plan(finished):
    """A plan for a model eight times as wide."""
    return finished.plan(width=128, steps=100, force=True)


def test_a_plan_is_for_the_size_asked_for(plan, finished):
    assert (plan.width, plan.depth, plan.steps, plan.job_id) == (128, 2, 100, finished.id)
    assert plan.width_ratio == 8
    assert {row.role for row in plan.rows} == {"input", "hidden", "output", "vector", "scalar"}
    assert plan.id in finished.refresh().plans


def test_a_plan_can_be_fetched_again(client, plan):
    again = client.plans.get(plan.id)
    assert again == plan
    assert isinstance(again, TransferPlan)


def test_an_unknown_plan_is_not_found(client):
    with pytest.raises(NotFound, match="plan_none"):
        client.plans.get("plan_none")


def test_json_and_yaml_hold_the_whole_plan(plan):
    assert TransferPlan.model_validate_json(plan.to("json")) == TransferPlan.model_validate(plan.model_dump())
    assert yaml.safe_load(plan.to("yaml"))["width"] == 128
    assert json.loads(plan.to("json"))["id"] == plan.id


def test_torch_is_python(plan):
    assert "import torch" in plan.to("torch")
    compile(plan.to("torch"), "plan.py", "exec")


@pytest.mark.parametrize("kind", ["huggingface", "optax"])
def test_other_libraries_have_python_of_their_own(plan, kind):
    compile(plan.to(kind), "plan.py", "exec")


def test_a_format_that_cannot_express_the_plan_says_why(plan):
    with pytest.raises(ValidationFailed, match="nanoGPT has transformers, and this plan is for family 'mlp'"):
        plan.to("nanogpt")


def test_an_unknown_format_is_refused_with_the_known_ones(plan):
    with pytest.raises(ValidationFailed, match="torch"):
        plan.to("onnx")


def test_a_target_below_the_proxy_is_refused(finished):
    with pytest.raises(ValidationFailed) as caught:
        finished.plan(width=8)
    assert [error.pointer for error in caught.value.errors] == ["/width"]


def test_a_plan_from_a_file_has_no_exports_but_says_where_they_are(plan):
    lying = Plan.model_validate_json(plan.model_dump_json())
    assert lying.model_dump() == plan.model_dump()
    with pytest.raises(InvalidRequest, match=f"client.plans.get.'{plan.id}'"):
        lying.to("torch")


def test_a_plan_shows_its_roles(plan):
    assert "width 16 -> 128" in repr(plan)
    assert all(row.role in repr(plan) for row in plan.rows)


def test_the_noise_scale_is_measured_and_the_data_set_moves_the_decay(finished, plan):
    scale = finished.result().noise_scale
    assert scale is not None and scale.low > 0 and plan.noise_scale == scale
    same, larger = (finished.plan(width=128, steps=100, examples=times * 1078, force=True) for times in (1, 10))
    for before, after in zip(same.tensors, larger.tensors, strict=True):
        assert after.weight_decay == pytest.approx(before.weight_decay / 10)
    forced = finished.result().plan(width=128, steps=100, batch_size=1_000_000, force=True)
    assert forced.forced and forced.batch_size == 1_000_000
    assert any("past the critical batch size" in sentence for sentence in forced.not_covered)
