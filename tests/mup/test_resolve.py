"""Labels to values of single tensors: scopes, defaults, decay exclusions, labels that decide about nothing."""

import pytest

from hpo.errors import Refused
from hpo.families.facts.mlp import mlp_tensors
from hpo.families.facts.registry import proxy_tensors
from hpo.families.facts.transformer import transformer_tensors
from hpo.mup.resolve import base_value, check_labels, resolve
from windtunnel.types import JobSpec, TensorRow

base = mlp_tensors(64, 10, 64, 2)
wide = mlp_tensors(64, 10, 512, 2)


def spec(**fields) -> JobSpec:
    return JobSpec.model_validate({"task": "digits"} | fields)


def by_name(rows: list[TensorRow]) -> dict[str, TensorRow]:
    return {row.name: row for row in rows}


def test_without_labels_every_value_is_the_specs() -> None:
    rows = resolve(spec(optimizer={"learning_rate": 0.02, "weight_decay": 0.3, "eps": 1e-6}), {}, base, base)
    assert {row.learning_rate for row in rows} == {0.02}
    assert {row.eps for row in rows} == {1e-6}
    assert {row.role: row.weight_decay for row in rows} == {
        "input": 0.3, "hidden": 0.3, "output": 0.3, "vector": 0.0, "scalar": 0.0,
    }  # fmt: skip


def test_the_narrowest_label_wins() -> None:
    labels = {
        "learning_rate": 1.0,
        "learning_rate.input": 9.0,
        "learning_rate.hidden": 2.0,
        "learning_rate.layers.0.weight": 3.0,
    }
    rows = by_name(resolve(spec(), labels, base, base))
    assert rows["layers.0.weight"].learning_rate == 3.0
    assert rows["layers.1.weight"].learning_rate == 2.0
    assert rows["readout.weight"].learning_rate == 1.0


def test_scales_and_multipliers_act_where_they_belong() -> None:
    labels = {"init_scale.hidden": 2.0, "output_multiplier": 4.0}
    plain, tuned = by_name(resolve(spec(), {}, base, wide)), by_name(resolve(spec(), labels, base, wide))
    assert tuned["layers.1.weight"].init_std == 2 * plain["layers.1.weight"].init_std
    assert tuned["layers.0.weight"].init_std == plain["layers.0.weight"].init_std
    assert tuned["readout.weight"].multiplier == 4 / 8
    assert (tuned["readout.weight"].init, tuned["readout.weight"].init_std) == ("zeros", 0.0)
    assert {row.multiplier for name, row in tuned.items() if name != "readout.weight"} == {1.0}


def test_wide_values_are_base_values_times_the_table() -> None:
    labels = {"learning_rate.hidden": 0.008, "weight_decay.hidden": 0.1, "eps": 8e-8}
    row = by_name(resolve(spec(), labels, base, wide))["layers.1.weight"]
    assert (row.learning_rate, row.weight_decay, row.eps) == (0.001, 0.8, 1e-8)


def test_sgd_has_no_eps() -> None:
    assert {row.eps for row in resolve(spec(optimizer={"name": "sgd"}), {}, base, wide)} == {None}


def test_added_layers_take_the_tensor_values_of_the_last_one() -> None:
    labels = {"learning_rate.layers.1.weight": 0.08, "learning_rate.layers.1.bias": 0.5}
    rows = by_name(resolve(spec(), labels, base, mlp_tensors(64, 10, 512, 4)))
    assert [rows[f"layers.{index}.weight"].learning_rate for index in (1, 2, 3)] == [0.01] * 3
    assert [rows[f"layers.{index}.bias"].learning_rate for index in (1, 2, 3)] == [0.5] * 3


def test_l2_inside_adam_stays_on_the_proxy() -> None:
    adam = spec(optimizer={"name": "adam"})
    assert resolve(adam, {}, base, base)
    with pytest.raises(Refused, match="L2 decay inside adam has no rule") as refusal:
        resolve(adam, {}, base, wide)
    assert "decoupled" in (refusal.value.hint or "")
    assert resolve(adam, {"weight_decay": 0.0}, base, wide)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("lr", "no hyperparameter 'lr'"),
        (
            "learning_rate.attention",
            "no scope 'attention'; allowed: input, vector, hidden, output, scalar, layers.0.weight",
        ),
        ("weight_decay.vector", "no scope 'vector'; allowed: input, hidden, output"),
        ("init_scale.output", "no scope 'output'; allowed: input, hidden"),
        ("beta1.hidden", "beta1 has no scope 'hidden'; allowed: none"),
        ("l2.scalar", "no scope 'scalar'; allowed: input, hidden, output"),
        ("mixture_weight", "mixture_weight has no scope ''; allowed: 0, 1, 2"),
        ("mixture_weight.ten", "mixture_weight has no scope 'ten'; allowed: 0, 1, 2"),
        ("knot.0", "knot has no scope '0'; allowed: none"),
    ],
)
def test_a_label_that_decides_about_nothing_is_an_error(label: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_labels(spec(), {label: 0.1}, base)


def test_known_sources_knots_parts_and_roles_are_labels() -> None:
    knots = spec(schedule={"name": "knots", "knots": [1.0, 0.5, 0.1]})
    check_labels(knots, ["knot.0", "knot.2", "mixture_weight.7", "eps.hidden", "l2.layers.1.weight"], base)
    with pytest.raises(ValueError, match="knot has no scope '3'; allowed: 0, 1, 2"):
        check_labels(knots, ["knot.3"], base)


TEXT = transformer_tensors(8, 20, 32, 1)


def test_a_tensor_goes_before_its_group_its_group_before_its_role_and_its_role_before_all() -> None:
    labels = {
        "learning_rate": 1.0,
        "learning_rate.hidden": 0.5,
        "learning_rate.qkv": 0.25,
        "learning_rate.blocks.0.mlp_in.weight": 0.125,
        "learning_rate.position": 0.1,
    }
    named = {fact.name: fact for fact in TEXT}
    found = {name: base_value(spec(), labels, "learning_rate", fact) for name, fact in named.items()}
    assert found == {
        "token_embedding.weight": 1.0,
        "position_embedding.weight": 0.1,
        "blocks.0.qkv.weight": 0.25,
        "blocks.0.attention_out.weight": 0.5,
        "blocks.0.mlp_in.weight": 0.125,
        "blocks.0.mlp_out.weight": 0.5,
        "readout.weight": 1.0,
        "readout.bias": 1.0,
    }


def test_the_embedding_multiplier_is_that_of_every_input_tensor_and_does_not_go_with_the_width() -> None:
    labels = {"embedding_multiplier": 3.0, "output_multiplier": 2.0}
    rows = by_name(resolve(spec(), labels, TEXT, transformer_tensors(8, 20, 64, 1)))
    assert {name for name, row in rows.items() if row.multiplier == 3.0} == {
        "token_embedding.weight",
        "position_embedding.weight",
    }
    assert rows["readout.weight"].multiplier == 1.0
    assert rows["blocks.0.qkv.weight"].multiplier == 1.0
    assert rows["blocks.0.qkv.weight"].group == "qkv"


def test_eps_by_role_keeps_its_ratio_to_the_gradient() -> None:
    labels = {"eps.input": 1e-6, "eps.scalar": 1e-4}
    rows = by_name(resolve(spec(), labels, base, wide))
    growth = wide[0].shape[0] / base[0].shape[0]
    assert rows["layers.0.weight"].eps == pytest.approx(1e-6 / growth)
    assert rows["layers.1.weight"].eps == pytest.approx(1e-8 / growth)
    assert rows["readout.bias"].eps == 1e-4


def test_an_l2_penalty_under_sgd_keeps_lr_times_lambda_and_inside_adam_stays_on_the_proxy() -> None:
    sgd = spec(optimizer={"name": "sgd"})
    labels = {"l2.hidden": 0.01, "l2.input": 0.02, "l2.output": 0.03}
    proxy, target = by_name(resolve(sgd, labels, base, base)), by_name(resolve(sgd, labels, base, wide))
    assert {name: row.l2 for name, row in proxy.items()} == {
        "layers.0.weight": 0.02,
        "layers.0.bias": 0.0,
        "layers.1.weight": 0.01,
        "layers.1.bias": 0.0,
        "readout.weight": 0.03,
        "readout.bias": 0.0,
    }
    for name, row in target.items():
        assert row.l2 * row.learning_rate == pytest.approx(proxy[name].l2 * proxy[name].learning_rate)
    assert resolve(spec(), labels, base, base)
    with pytest.raises(Refused, match="an L2 penalty under adamw has no rule"):
        resolve(spec(), labels, base, wide)
    given = spec(regularization={"l2": 0.1})
    with pytest.raises(Refused, match="an L2 penalty under adamw has no rule"):
        resolve(given, {}, base, wide)


def test_the_factor_of_a_layer_multiplies_what_its_tensors_have_and_added_layers_take_the_last_ones() -> None:
    """Kind times depth: a rate for each kind of matrix, a factor for each block, at the proxy's size and beyond."""
    job = JobSpec.model_validate(
        {"task": "python-text", "model": {"family": "llama", "width": 32, "depth": 2}, "transfer": {"depth_rule": "copy"}}
    )
    base = proxy_tensors(job.model, job.info)
    target = proxy_tensors(job.model.model_copy(update={"width": 64, "depth": 3}), job.info)
    tuned = {"learning_rate": 0.01, "learning_rate.q": 0.02, "weight_decay": 0.1, "layer_weight_decay": 3.0}
    factors = {"layer_learning_rate.blocks.0": 0.5, "layer_learning_rate.blocks.1": 4.0}
    plain, scaled = ({row.name: row for row in resolve(job, values, base, target)} for values in (tuned, tuned | factors))
    for name, row in scaled.items():
        factor = {"blocks.0": 0.5, "blocks.1": 4.0, "blocks.2": 4.0}.get(name.rpartition(".")[0].rpartition(".")[0], 1.0)
        assert row.learning_rate == pytest.approx(factor * plain[name].learning_rate, rel=1e-12)
    assert plain["blocks.2.q.weight"].learning_rate == pytest.approx(0.02 / 2)
    assert scaled["blocks.2.gate.weight"].learning_rate == pytest.approx(0.01 / 2 * 4)
    assert scaled["blocks.0.q.weight"].weight_decay == pytest.approx(0.1 * 3 * 2)
    assert scaled["token_embedding.weight"].weight_decay == pytest.approx(0.1)
