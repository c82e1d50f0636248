"""Labels to values of single tensors: scopes, defaults, decay exclusions, labels that decide about nothing."""

import pytest

from hpo.errors import Refused
from hpo.mup.proxies import mlp_tensors
from hpo.mup.resolve import check_labels, resolve
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
    ],
)
def test_a_label_that_decides_about_nothing_is_an_error(label: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_labels({label: 0.1}, base)
