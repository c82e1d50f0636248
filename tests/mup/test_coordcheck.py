"""The coordinate check: muP passes, standard parametrization and planted bugs fail, slopes are judged as they should."""

import math
from itertools import pairwise
from math import prod

import pytest

from hpo.mup import rules
from hpo.mup.coordcheck import check_steps, coordinate_check
from hpo.mup.ladder import MOST_PARAMETERS, cost, ladder
from hpo.mup.proxies import mlp_tensors
from hpo.mup.slopes import LARGEST, judge, log_log_slope, measured_slope, overall
from windtunnel.types import CoordinateCheck, JobSpec


def spec(**fields) -> JobSpec:
    return JobSpec.model_validate({"task": "digits"} | fields)


def last(check: CoordinateCheck, quantity: str = "change") -> dict[str, float]:
    return {slope.module: slope.slope for slope in check.slopes if slope.quantity == quantity and slope.step == check.steps}


ADAM, SGD = {"name": "adamw"}, {"name": "sgd"}


@pytest.mark.parametrize("optimizer", [ADAM, {"name": "adam", "decay": "decoupled"}, SGD])
def test_mup_passes_and_standard_parametrization_fails(optimizer) -> None:
    mup = coordinate_check(spec(optimizer=optimizer), {})
    assert mup.verdict == "pass"
    assert mup.widths == [64, 128, 256, 512, 1024]
    assert all(abs(slope) <= 0.1 for slope in last(mup).values())
    standard = coordinate_check(spec(optimizer=optimizer, parametrization="standard"), {})
    assert standard.verdict == "fail"
    assert last(standard)["readout"] > 0.3


FAMILIES = {"resnet": {"model": {"family": "resnet"}}, "transformer": {"task": "python-text"}}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_passes_under_mup_and_fails_under_standard_parametrization(family: str) -> None:
    mup = coordinate_check(spec(**FAMILIES[family], optimizer=ADAM), {})
    assert mup.verdict == "pass", last(mup)
    assert len(mup.widths) == 4
    standard = coordinate_check(spec(**FAMILIES[family], optimizer=ADAM, parametrization="standard"), {}, mup.widths[:3])
    assert standard.verdict == "fail"
    hidden = {module: slope for module, slope in last(standard).items() if module.startswith("blocks.")}
    assert all(slope > 0.3 for slope in hidden.values()), hidden


def test_multipliers_of_a_transformer_act_at_every_width() -> None:
    """They change what is trained and leave the law as it is."""
    tuned = {"attention_multiplier": 4.0, "embedding_multiplier": 0.5, "learning_rate.qkv": 1.0, "init_scale.position": 0.3}
    check = coordinate_check(spec(**FAMILIES["transformer"]), tuned, [48, 96, 192])
    assert check.sizes != coordinate_check(spec(**FAMILIES["transformer"]), {}, [48, 96, 192]).sizes
    assert all(abs(slope) < 0.3 for slope in last(check).values())


def test_regularisers_are_no_part_of_the_check() -> None:
    """L2 inside Adam has no rule for another width, which refuses a plan and not the check."""
    terms = {"l2": 0.1, "dropout": 0.5, "input_noise": 0.3, "label_smoothing": 0.2}
    plain = coordinate_check(spec(), {}, [64, 128])
    assert coordinate_check(spec(regularization=terms), {"l2.hidden": 0.2, "dropout": 0.4}, [64, 128]) == plain


def test_the_check_of_a_regression_is_that_of_its_squared_error() -> None:
    check = coordinate_check(spec(task="diabetes"), {})
    assert check.verdict == "pass"
    assert all(loss < 1.0 for loss in check.losses)


def test_reference_slopes_of_adam_at_its_second_step() -> None:
    """The design's: hidden +.69 and output +1.43 under standard parametrization, -.01 and -.07 under muP."""
    mup = coordinate_check(spec(optimizer=ADAM), {}, steps=2, learning_rate=0.01)
    standard = coordinate_check(spec(optimizer=ADAM, parametrization="standard"), {}, steps=2, learning_rate=0.01)
    assert all(abs(slope) <= 0.1 for slope in last(mup).values())
    assert last(standard)["layers.1"] == pytest.approx(0.69, abs=0.25)
    assert last(standard)["readout"] > 1.0


def test_a_hidden_learning_rate_that_is_not_scaled_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.ADAM_LEARNING_RATE, "hidden", rules.ONE)
    check = coordinate_check(spec(), {})
    assert check.verdict == "fail"
    assert last(check)["layers.1"] > 0.3


def test_a_readout_without_its_multiplier_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.MULTIPLIER, "output", rules.ONE)
    assert coordinate_check(spec(), {}).verdict == "fail"


def test_an_input_learning_rate_that_is_not_scaled_fails_under_sgd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.SGD_LEARNING_RATE, "input", rules.ONE)
    check = coordinate_check(spec(optimizer=SGD), {})
    assert check.verdict == "fail"
    assert last(check)["layers.0"] < -0.3


def test_one_eps_for_all_widths_damps_wide_models_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """An eps of the size of gradients; with the rule it does no harm."""
    tuned = {"eps": 1e-2}
    assert coordinate_check(spec(), tuned).verdict == "pass"
    for role in rules.GRADIENT:
        monkeypatch.setitem(rules.GRADIENT, role, rules.ONE)
    assert coordinate_check(spec(), tuned).verdict == "fail"


@pytest.mark.parametrize(
    "tuned",
    [
        {"output_multiplier": 20.0, "learning_rate.hidden": 0.5, "weight_decay": 3.0},
        {"init_scale.input": 5.0, "init_scale.hidden": 0.2},
        {"beta1": 0.5, "beta2": 0.9},
    ],
)
def test_tuned_values_far_from_the_defaults_do_not_spoil_the_check(tuned) -> None:
    assert coordinate_check(spec(), tuned).verdict == "pass"


def test_a_learning_rate_at_which_the_narrowest_model_does_not_learn_is_lowered() -> None:
    check = coordinate_check(spec(optimizer=SGD), {"output_multiplier": 20.0})
    assert check.learning_rate < 0.1
    assert check.losses[0] < math.log(10)
    assert check.verdict == "pass"


def test_a_run_that_overflows_fails_and_stays_a_number() -> None:
    check = coordinate_check(spec(optimizer=SGD), {}, [64, 128], learning_rate=1e30, steps=3)
    assert check.verdict == "fail"
    assert max(max(sizes) for sizes in check.sizes.values()) == LARGEST
    assert CoordinateCheck.model_validate_json(check.model_dump_json()) == check


def test_the_same_check_gives_the_same_numbers_and_reports_every_step() -> None:
    counted: list[int] = []
    first = coordinate_check(spec(), {}, on_step=counted.append)
    assert sum(counted) == check_steps(spec())
    assert coordinate_check(spec(), {}) == first
    assert len(first.slopes) == 3 * (5 + 4)


def test_logits_of_a_zero_readout_are_exempt_before_the_first_step() -> None:
    check = coordinate_check(spec(), {}, [64, 128])
    exempt = {(slope.module, slope.quantity, slope.step) for slope in check.slopes if slope.verdict == "exempt"}
    assert exempt == {("readout", "activation", 0), ("layers.0", "change", 1), ("layers.1", "change", 1)}


@pytest.mark.parametrize("width", [4, 48, 64, 1000, 8192])
@pytest.mark.parametrize("depth", [1, 2, 32])
def test_ladders_double_have_four_widths_and_stay_affordable(width: int, depth: int) -> None:
    job = spec(model={"width": width, "depth": depth}, task="mnist5k")
    widths = ladder(job)
    assert len(widths) >= 4
    assert all(large in (2 * small, 2 * small + 1) for small, large in pairwise(widths))
    assert sum(prod(fact.shape) for each in widths for fact in mlp_tensors(784, 10, each, depth)) <= 1.5 * MOST_PARAMETERS


@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("digits", {"family": "resnet"}),
        ("mnist5k", {"family": "resnet", "width": 512, "depth": 8}),
        ("python-text", {}),
        ("python-text", {"width": 80, "depth": 32}),
        ("python-text", {"width": 1024, "d_head": 64, "depth": 8}),
    ],
)
def test_ladders_of_images_and_texts_stay_affordable_and_cut_no_head(task: str, model: dict[str, object]) -> None:
    job = spec(task=task, model=model)
    widths = ladder(job)
    assert len(widths) >= 4
    assert all(low < high for low, high in pairwise(widths))
    assert sum(cost(job, width) for width in widths) <= 1.5
    if task == "python-text":
        assert all(width % job.model.head == 0 for width in widths)


def test_a_head_that_cannot_be_halved_gives_widths_of_one_to_four_heads() -> None:
    job = spec(task="python-text", model={"width": 512, "d_head": 512, "depth": 4})
    assert ladder(job) == [512, 1024, 1536, 2048]


def test_widths_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="must rise"):
        coordinate_check(spec(), {}, [128, 64])


def test_slopes_are_exponents_of_power_laws() -> None:
    assert log_log_slope([64, 128, 256], [3.0, 6.0, 12.0]) == pytest.approx(1.0)
    assert log_log_slope([64, 256], [1.0, 0.5]) == pytest.approx(-0.5)
    assert log_log_slope([64, 128], [0.0, 1.0]) is None
    with pytest.raises(ValueError, match="two widths"):
        log_log_slope([64], [1.0])


def test_verdicts_follow_the_limits() -> None:
    assert [judge(slope) for slope in (0.1, -0.1, 0.11, -0.3, 0.31)] == ["pass", "pass", *["inconclusive"] * 2, "fail"]
    still = measured_slope("a", "change", 4, [64, 128], [0.0, 0.0])
    moving = measured_slope("b", "change", 4, [64, 128], [1.0, 1.0])
    dead = measured_slope("c", "change", 4, [64, 128], [0.0, 1.0])
    assert (still.verdict, moving.verdict, dead.verdict) == ("exempt", "pass", "fail")
    assert overall([moving], 4) == "pass"
    assert overall([moving, still], 4) == "inconclusive"
    assert overall([moving, dead], 4) == "fail"
    assert overall([measured_slope("b", "change", 3, [64, 128], [1.0, 9.0]), moving], 4) == "pass"
