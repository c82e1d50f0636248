"""The gate: what the table of a parametrization asks for is no failure, and whatever else fails is."""

import pytest

from hpo.errors import Refused
from windtunnel.types import CoordinateCheck, CoordinateSlope, TuneResult

NTK = {"parametrization": "ntk", "optimizer": {"clip_norm": None}}
FADING = {("layers.0", "change"): -0.5, ("layers.1", "change"): -0.5, ("layers.1.weight", "update_norm"): -0.48}


def judged(result: TuneResult, exponents: dict[tuple[str, str], float]) -> TuneResult:
    """The result with a check of these exponents, all of which fail, beside one that passes."""
    assert result.coordinate_check is not None
    slopes = [
        CoordinateSlope(module=module, quantity=quantity, step=4, slope=slope, verdict="fail", decides=True)
        for (module, quantity), slope in exponents.items()
    ]
    passed = CoordinateSlope(module="readout.weight", quantity="update_norm", step=4, slope=0, verdict="pass", decides=True)
    check: CoordinateCheck = result.coordinate_check.model_copy(update={"verdict": "fail", "slopes": [*slopes, passed]})
    return result.model_copy(update={"coordinate_check": check})


def test_ntk_transfers_although_layers_move_less_and_the_plan_says_that_it_learns_no_features(finish, plan_of) -> None:
    plan = plan_of(judged(finish(NTK), FADING), width=256)
    assert not plan.forced
    (sentence,) = [sentence for sentence in plan.not_covered if sentence.startswith("Features")]
    assert "width^-1/2" in sentence and "kernel" in sentence
    rows = {row.name: row for row in plan.tensors}
    assert rows["layers.1.weight"].multiplier == rows["readout.weight"].multiplier == 1 / 2
    assert rows["layers.1.weight"].learning_rate == pytest.approx(0.003 / 4)


@pytest.mark.parametrize(
    ("exponent", "told"),
    [
        ({("readout", "change"): 0.5}, r"change of readout's outputs goes with the width as width\^\+0.50"),
        ({("layers.1", "activation"): 0.4}, r"outputs of layers.1 goes with the width as width\^\+0.40"),
        ({("readout.weight", "update_norm"): -0.5}, r"spectral norm of the update of readout.weight goes with the width"),
    ],
)
def test_what_grows_and_a_readout_that_stands_still_are_refused_under_ntk(finish, plan_of, exponent, told: str) -> None:
    with pytest.raises(Refused, match=told):
        plan_of(judged(finish(NTK), FADING | exponent), width=256)


def test_layers_that_move_less_are_refused_under_mup(finish, plan_of) -> None:
    with pytest.raises(Refused, match=r"width\^-0.50"):
        plan_of(judged(finish({}), FADING), width=256)


def test_embeddings_that_move_less_are_the_unit_scaled_tables_own_under_adam_only(finish, plan_of) -> None:
    slow = {("layers.0", "change"): -0.5, ("layers.0.weight", "update_norm"): -0.5}
    plan = plan_of(judged(finish({"parametrization": "u-mup"}), slow), width=256)
    told = [sentence.partition(":")[0] for sentence in plan.not_covered]
    assert {"Embeddings", "Clipping"} <= set(told)
    with pytest.raises(Refused, match=r"update of layers\.1\.weight"):
        plan_of(judged(finish({"parametrization": "u-mup"}), slow | {("layers.1.weight", "update_norm"): -0.4}), width=256)
    with pytest.raises(Refused, match="coordinate check failed"):
        plan_of(judged(finish({"parametrization": "u-mup", "optimizer": {"name": "sgd"}}), slow), width=256)


def test_a_clip_threshold_is_said_to_go_with_the_width_where_it_does(finish, plan_of) -> None:
    def told(parametrization: str, **optimizer: object) -> bool:
        fields = {"parametrization": parametrization, "optimizer": optimizer}
        return any(sentence.startswith("Clipping") for sentence in plan_of(finish(fields), width=256).not_covered)

    assert told("spectral") and not told("spectral", clip_norm=None) and not told("mup")


def test_another_parametrization_than_standard_needs_its_check(finish, plan_of) -> None:
    for parametrization in ("ntk", "spectral", "u-mup"):
        with pytest.raises(Refused, match="no coordinate check"):
            plan_of(finish({"parametrization": parametrization}, verdict=None), width=256)
