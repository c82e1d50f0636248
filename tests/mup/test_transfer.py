"""Transfer plans: identity at the proxy, the table elsewhere, the gate, and what a plan says it took for granted."""

import pytest
import torch
from pydantic_core import PydanticCustomError

from hpo.errors import Refused
from hpo.mup.resolve import resolve
from windtunnel.types import CosineSchedule, RoleRow, TransferPlan

TUNED = {
    "learning_rate.input": 0.01,
    "learning_rate.hidden": 0.008,
    "learning_rate.output": 0.03,
    "learning_rate.vector": 0.02,
    "learning_rate.scalar": 0.05,
    "weight_decay.input": 0.1,
    "weight_decay.hidden": 0.2,
    "weight_decay.output": 0.3,
}


def roles(plan: TransferPlan) -> dict[str, RoleRow]:
    return {row.role: row for row in plan.roles}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"optimizer": {"name": "sgd"}},
        {"optimizer": {"name": "adam"}},
        {"optimizer": {"name": "adamw", "decay": "independent"}},
        {"parametrization": "standard"},
        {"model": {"width": 24, "depth": 3, "activation": "tanh"}},
    ],
)
def test_the_plan_for_the_proxy_itself_is_the_proxy(finish, plan_of, fields) -> None:
    result = finish(fields, TUNED, verdict=None)
    spec = result.spec
    plan = plan_of(result, width=spec.model.width)
    assert plan.tensors == resolve(spec, TUNED, result.proxy.tensors, result.proxy.tensors)
    assert (plan.width, plan.depth, plan.steps) == (spec.model.width, spec.model.depth, spec.inner.steps)
    assert (plan.width_ratio, plan.forced, plan.schedule) == (1.0, False, spec.schedule)
    learning_rates = {row.role: row.learning_rate for row in plan.roles}
    assert learning_rates == {role: TUNED[f"learning_rate.{role}"] for role in learning_rates}


def test_role_rows_say_base_value_target_value_and_formula(finish, plan_of) -> None:
    rows = roles(plan_of(finish({}, TUNED), width=512))
    assert list(rows) == ["input", "vector", "hidden", "output", "scalar"]
    hidden = rows["hidden"]
    assert (hidden.base_learning_rate, hidden.learning_rate) == (0.008, 0.001)
    assert (hidden.base_weight_decay, hidden.weight_decay) == (0.2, 1.6)
    assert hidden.eps == 1e-8 / 8
    assert hidden.formulas["learning_rate"] == "eta / m"
    assert (rows["output"].multiplier, rows["output"].formulas["multiplier"]) == (1 / 8, "alpha / m")
    assert (rows["vector"].tensors, rows["vector"].weight_decay) == (2, 0.0)


def test_a_role_whose_tensors_differ_has_no_common_value(finish, plan_of) -> None:
    tuned = {f"learning_rate.layers.{index}.weight": 0.01 * (index + 1) for index in range(3)}
    plan = plan_of(finish({"model": {"depth": 3}}, tuned), width=128)
    assert roles(plan)["hidden"].learning_rate is None
    assert roles(plan)["hidden"].base_learning_rate is None
    assert roles(plan)["input"].learning_rate == 0.01


def test_sgd_plans_have_momentum_and_no_adam_values(finish, plan_of) -> None:
    plan = plan_of(finish({"optimizer": {"name": "sgd"}}, {"momentum": 0.8}), width=256)
    assert (plan.momentum, plan.beta1, plan.beta2, plan.clip_norm) == (0.8, None, None, 1.0)
    assert {row.eps for row in plan.tensors} == {None}
    assert "eps" not in roles(plan)["hidden"].formulas


def test_tuned_globals_and_schedule_shape_reach_the_plan(finish, plan_of) -> None:
    tuned = {"beta1": 0.8, "beta2": 0.99, "clip_norm": 3.0, "warmup_fraction": 0.2, "floor": 0.03, "output_multiplier": 2.0}
    plan = plan_of(finish({}, tuned), width=128, steps=5000)
    assert (plan.beta1, plan.beta2, plan.clip_norm, plan.steps) == (0.8, 0.99, 3.0, 5000)
    assert plan.schedule == CosineSchedule(warmup_fraction=0.2, floor=0.03)
    assert roles(plan)["output"].multiplier == 1.0


def test_a_failed_check_refuses_unless_forced_and_the_plan_carries_the_failure(finish, plan_of) -> None:
    result = finish({}, TUNED, verdict="fail")
    with pytest.raises(Refused, match=r"readout's outputs goes with the width as width\^\+0.62") as refusal:
        plan_of(result, width=256)
    assert "force" in (refusal.value.hint or "")
    plan = plan_of(result, width=256, force=True)
    assert plan.forced
    assert plan.coordinate_check is not None and plan.coordinate_check.verdict == "fail"
    assert plan.not_covered[0].startswith("Forced: the coordinate check failed")


def test_no_check_and_no_muP_refuse_unless_forced(finish, plan_of) -> None:
    with pytest.raises(Refused, match="no coordinate check"):
        plan_of(finish({}, TUNED, verdict=None), width=256)
    standard = finish({"parametrization": "standard"}, TUNED, verdict=None)
    with pytest.raises(Refused, match="standard parametrization"):
        plan_of(standard, width=256)
    copied = plan_of(standard, width=256, force=True)
    assert copied.forced
    assert roles(copied)["hidden"].learning_rate == TUNED["learning_rate.hidden"]


def test_force_is_not_recorded_where_it_was_not_needed(finish, plan_of) -> None:
    assert not plan_of(finish({}, TUNED), width=256, force=True).forced


def test_an_inconclusive_check_is_allowed_with_a_warning(finish, plan_of) -> None:
    plan = plan_of(finish({}, TUNED, verdict="inconclusive"), width=256)
    assert not plan.forced
    assert "inconclusive" in plan.not_covered[0]


def test_no_force_carries_l2_inside_adam_to_another_width(finish, plan_of) -> None:
    result = finish({"optimizer": {"name": "adam"}}, {})
    with pytest.raises(Refused, match="L2 decay inside adam"):
        plan_of(result, width=256, force=True)
    assert plan_of(result, width=64).decay == "l2"
    assert plan_of(result, width=64, depth=3).depth == 3


def test_targets_that_the_rules_cannot_reach_are_refused_by_field(finish, plan_of) -> None:
    with pytest.raises(PydanticCustomError, match="width 32 is below the proxy's 64"):
        plan_of(finish({}, TUNED), width=32)


def test_added_depth_and_other_horizons_are_said_openly(finish, plan_of) -> None:
    plan = plan_of(finish({}, TUNED), width=128, depth=6, steps=4000)
    text = " ".join(plan.not_covered)
    assert "From 2 to 6 hidden layers" in text
    assert "tuned over 200 steps are used over 4000" in text
    assumed = {entry.quantity: entry for entry in plan.assumptions}
    assert assumed["depth"].formula == "every layer beyond layers.1 takes the values of layers.1"
    assert assumed["steps"].value == 4000
    assert {"width", "batch_size", "weight_decay", "beta1", "beta2", "clip_norm", "warmup_fraction"} <= assumed.keys()
    same = plan_of(finish({}, TUNED), width=128)
    assert not any("Horizon" in sentence or "Depth" in sentence for sentence in same.not_covered)


def test_tuning_share_is_work_over_work(finish, plan_of) -> None:
    """300 proxy runs of 64 x 64 + 64 x 64 + 64 x 10 multiply-adds a step and example, against one wide run."""
    plan = plan_of(finish({}, TUNED), width=1024, steps=2000)
    proxy, target = 64 * 64 + 64 * 64 + 64 * 10, 64 * 1024 + 1024 * 1024 + 1024 * 10
    assert plan.tuning_share == pytest.approx(300 * 200 * proxy / (2000 * target))
    assert plan.parameters == target + 1024 + 1024 + 10


RESNET = {"model": {"family": "resnet", "width": 16, "depth": 2}}
TEXT = {"task": "python-text", "model": {"width": 32, "depth": 2}}


def test_a_plan_of_a_resnet_scales_filters_by_their_channels_and_copies_the_last_block(finish, plan_of) -> None:
    tuned = {
        "learning_rate.input": 0.01,
        "learning_rate.hidden": 0.02,
        "learning_rate.blocks.1.second.weight": 0.04,
        "weight_decay": 0.1,
        "embedding_multiplier": 3.0,
    }
    plan = plan_of(finish(RESNET, tuned), width=64, depth=4)
    rows = {row.name: row for row in plan.tensors}
    assert [row.shape for row in plan.tensors][:3] == [[64, 1, 3, 3], [64, 64, 3, 3], [64, 64, 3, 3]]
    assert (rows["stem.weight"].learning_rate, rows["stem.weight"].multiplier) == (0.01, 3.0)
    assert rows["blocks.0.second.weight"].learning_rate == 0.02 / 4
    # Blocks 2 and 3 follow block 1, tensor by tensor.
    for block in (1, 2, 3):
        assert rows[f"blocks.{block}.first.weight"].learning_rate == 0.02 / 4
        assert rows[f"blocks.{block}.second.weight"].learning_rate == 0.04 / 4
        assert rows[f"blocks.{block}.second.weight"].weight_decay == 0.1 * 4
        assert rows[f"blocks.{block}.second.weight"].init_std == pytest.approx((2 / (9 * 64)) ** 0.5)
    assert rows["readout.weight"].multiplier == 1 / 4
    assumed = {entry.quantity: entry for entry in plan.assumptions}
    assert assumed["depth"].formula == (
        "x + branch(x) / m_L, eps / m_L in blocks, m_L = 2; every block beyond blocks.1 takes the values of blocks.1"
    )
    text = " ".join(plan.not_covered)
    assert "CompleteP. From 2 to 4 residual blocks each branch is multiplied by 1 / m_L" in text
    assert "hidden layers" not in text


def test_a_plan_of_a_transformer_keeps_embeddings_and_the_size_of_a_head(finish, plan_of) -> None:
    tuned = {
        "learning_rate.position": 0.05,
        "learning_rate.qkv": 0.01,
        "learning_rate.mlp-out": 0.02,
        "init_scale.qkv": 2.0,
    }
    plan = plan_of(finish(TEXT, tuned | {"attention_multiplier": 1.5}), width=128, depth=3)
    rows = {row.name: row for row in plan.tensors}
    assert rows["token_embedding.weight"].shape == [97, 128]
    embeddings = [rows["token_embedding.weight"], rows["position_embedding.weight"]]
    assert [(row.init_std, row.learning_rate, row.multiplier) for row in embeddings] == [(1, 0.003, 1), (1, 0.05, 1)]
    for block in range(3):
        assert rows[f"blocks.{block}.qkv.weight"].learning_rate == 0.01 / 4
        assert rows[f"blocks.{block}.qkv.weight"].init_std == pytest.approx(2 / 128**0.5)
        # Its inputs went through GELU, which halves their square; fan-in and width grow alike.
        assert rows[f"blocks.{block}.mlp_out.weight"].init_std == pytest.approx((2 / 512) ** 0.5)
        assert rows[f"blocks.{block}.mlp_out.weight"].learning_rate == 0.02 / 4
    assert (plan.attention_multiplier, plan.model.head) == (1.5, 16)
    assert plan.parameters == sum(torch.Size(row.shape).numel() for row in plan.tensors)


def test_looking_up_an_embedding_is_no_work(finish, plan_of) -> None:
    plan = plan_of(finish(TEXT), width=32)
    proxy = 2 * 12 * 32 * 32 + 97 * 32
    assert plan.tuning_share == pytest.approx(300 * 200 * proxy / (200 * proxy))


def test_a_transformers_target_keeps_whole_heads(finish, plan_of) -> None:
    with pytest.raises(PydanticCustomError, match="width 72 is no multiple of d_head 16"):
        plan_of(finish(TEXT), width=72)


@pytest.mark.parametrize("fields", [RESNET, TEXT])
def test_one_block_is_enough_to_copy_from(finish, plan_of, fields) -> None:
    one = {**fields, "model": {**fields["model"], "depth": 1}}
    assert plan_of(finish(one), width=64, depth=3).depth == 3
    with pytest.raises(PydanticCustomError, match="a proxy of depth 1 has none"):
        plan_of(finish({"model": {"depth": 1}}), width=64, depth=3)
