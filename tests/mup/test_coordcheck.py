"""The coordinate check: muP passes, standard parametrization and planted bugs fail, and the regimes are told apart."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import prod

import pytest

from hpo.evidence.coordcheck import check_steps, coordinate_check
from hpo.evidence.slopes import LARGEST
from hpo.families.facts.mlp import mlp_tensors
from hpo.footprint.measurements import MOST_PARAMETERS, cost, ladder
from hpo.footprint.sizes import Sizes
from hpo.mup.tables.entry import Entry
from hpo.mup.tables.mup import MUP
from windtunnel.types import CoordinateCheck, JobSpec
from windtunnel.types.powers import ONE, Power
from windtunnel.types.results import CoordinateQuantity


def spec(**fields) -> JobSpec:
    return JobSpec.model_validate({"task": "digits"} | fields)


def last(check: CoordinateCheck, quantity: CoordinateQuantity = "change") -> dict[str, float]:
    return {module: slope.slope for module, slope in check.last(quantity).items()}


ADAM, SGD = {"name": "adamw"}, {"name": "sgd"}
QUICK = [64, 128, 256, 512]


def quick(tuned: dict[str, float] | None = None, **fields) -> CoordinateCheck:
    """A check of an MLP in a third of the time."""
    return coordinate_check(spec(**fields), tuned or {}, QUICK, seeds=3)


@pytest.mark.parametrize("optimizer", [ADAM, {"name": "adam", "decay": "decoupled"}, SGD])
def test_mup_passes_and_standard_parametrization_fails(optimizer) -> None:
    mup = coordinate_check(spec(optimizer=optimizer), {}, seeds=3)
    assert mup.verdict == "pass", mup.reasons
    assert mup.reasons == []
    assert mup.widths == [64, 128, 256, 512, 1024]
    assert all(
        abs(slope) <= 0.1 for quantity in ("activation", "change", "update_norm") for slope in last(mup, quantity).values()
    )
    standard = quick(optimizer=optimizer, parametrization="standard")
    assert standard.verdict == "fail"
    assert last(standard)["readout"] > 0.3
    assert last(standard, "update_norm")["layers.1.weight"] > 0.3
    assert "width^+" in standard.reasons[0]


FAMILIES = {"resnet": {"model": {"family": "resnet"}}, "transformer": {"task": "python-text"}}


@pytest.mark.parametrize(
    ("family", "optimizer", "widths"),
    [
        ("resnet", ADAM, [48, 96, 192]),
        pytest.param("resnet", SGD, None, marks=pytest.mark.slow),
        ("transformer", ADAM, [48, 96, 192]),
        pytest.param("transformer", SGD, None, marks=pytest.mark.slow),
    ],
    ids=["resnet-adam", "resnet-sgd", "transformer-adam", "transformer-sgd"],
)
def test_every_family_passes_under_mup_and_fails_under_standard_parametrization(
    family: str, optimizer: dict[str, str], widths: list[int] | None
) -> None:
    """Under SGD, whose changes scatter more, it takes the whole ladder for intervals that exclude a failure."""
    fields = FAMILIES[family]
    mup = coordinate_check(spec(**fields, optimizer=optimizer), {}, widths)
    assert mup.verdict == "pass", mup.reasons
    standard = coordinate_check(spec(**fields, optimizer=optimizer, parametrization="standard"), {}, [48, 96, 192])
    assert standard.verdict == "fail"
    hidden = {module: slope for module, slope in last(standard).items() if module.startswith("blocks.")}
    assert all(slope > 0.3 for slope in hidden.values()), hidden


@pytest.mark.parametrize("optimizer", [ADAM, SGD], ids=["adam", "sgd"])
def test_under_mup_the_kernel_moves_at_every_width_alike_and_under_the_ntk_table_it_stands_still(optimizer) -> None:
    """Drift of order 1 with exponent 0; with -1 (SGD) and about -1/2 (Adam, whose changes are of order m^-1/2)."""
    mup, lazy = quick(optimizer=optimizer), quick(optimizer=optimizer, parametrization="ntk")
    assert abs(last(mup, "kernel_change")["network"]) < 0.15
    assert min(mup.kernel_change) > 0.1
    assert abs(last(mup, "linearisation_error")["network"]) < 0.1
    drift, error = last(lazy, "kernel_change")["network"], last(lazy, "linearisation_error")["network"]
    limits = (-1.2, -0.8) if optimizer is SGD else (-1.0, -0.5)
    assert limits[0] < drift < limits[1]
    assert error < -0.25
    assert lazy.verdict == "fail"
    assert lazy.kernel_change[0] == pytest.approx(mup.kernel_change[0], rel=1e-3), "the same model at the proxy's width"


def test_the_spectral_table_passes_like_mup_itself() -> None:
    assert quick(parametrization="spectral").verdict == "pass"


def test_multipliers_of_a_transformer_act_at_every_width() -> None:
    """They change what is trained and leave the law as it is."""
    tuned = {"attention_multiplier": 4.0, "embedding_multiplier": 0.5, "learning_rate.qkv": 1.0, "init_scale.position": 0.3}
    check = coordinate_check(spec(**FAMILIES["transformer"]), tuned, [48, 96, 192], seeds=2)
    assert check.sizes != coordinate_check(spec(**FAMILIES["transformer"]), {}, [48, 96, 192], seeds=2).sizes
    assert all(abs(slope) < 0.3 for slope in last(check).values())


def test_regularisers_are_no_part_of_the_check() -> None:
    """L2 inside Adam has no rule for another width, which refuses a plan and not the check."""
    terms = {"l2": 0.1, "dropout": 0.5, "input_noise": 0.3, "label_smoothing": 0.2}
    plain = coordinate_check(spec(), {}, [64, 128])
    assert coordinate_check(spec(regularization=terms), {"l2.hidden": 0.2, "dropout": 0.4}, [64, 128]) == plain


def test_the_check_of_a_regression_is_that_of_its_squared_error() -> None:
    check = quick(task="diabetes")
    assert check.verdict == "pass"
    assert all(loss < 1.0 for loss in check.losses)


def test_reference_slopes_of_adam_at_its_second_step() -> None:
    """Published checks of an MLP have hidden +.69 and output +1.43 under standard parametrization, -.01 and -.07 under muP.

    Ours starts from a readout at zero, so exponents agree in sign and order: +.86 and +1.12, -.01 and -.04.
    """
    settings = {"seeds": 3, "steps": 2, "learning_rate": 0.01}
    mup = coordinate_check(spec(optimizer=ADAM), {}, QUICK, **settings)
    standard = coordinate_check(spec(optimizer=ADAM, parametrization="standard"), {}, **settings)
    assert all(abs(slope) <= 0.1 for slope in last(mup).values())
    assert last(standard)["layers.1"] == pytest.approx(0.69, abs=0.25)
    assert last(standard)["readout"] == pytest.approx(1.43, abs=0.4)


def test_reference_slopes_of_sgd_at_its_fourth_step() -> None:
    """Output -.13 under muP and rising under standard parametrization.

    A published check has +.37 there; from a readout at zero, with momentum .9, it is .6, without momentum .8.
    """
    mup = coordinate_check(spec(optimizer=SGD), {}, QUICK, seeds=3, learning_rate=0.1)
    standard = coordinate_check(spec(optimizer=SGD, parametrization="standard"), {}, QUICK, seeds=3, learning_rate=0.1)
    assert last(mup)["readout"] == pytest.approx(-0.13, abs=0.15)
    assert 0.3 < last(standard)["readout"] < 0.9


Plant = Callable[[Entry], Entry]
PLANTS: dict[str, tuple[dict[str, str], str, Plant]] = {
    "hidden rate of adam not scaled": (ADAM, "hidden", lambda entry: replace(entry, adam=ONE)),
    "hidden rate of adam scaled by the root": (ADAM, "hidden", lambda entry: replace(entry, adam=Power(fan_in=-0.5))),
    "hidden rate of sgd scaled as adam's": (SGD, "hidden", lambda entry: replace(entry, sgd=Power(fan_in=-1))),
    "input rate of sgd not scaled": (SGD, "input", lambda entry: replace(entry, sgd=ONE)),
    "readout rate of sgd not scaled": (SGD, "output", lambda entry: replace(entry, sgd=ONE)),
    "readout without its multiplier": (ADAM, "output", lambda entry: replace(entry, multiplier=ONE)),
    "readout's multiplier twice": (ADAM, "output", lambda entry: replace(entry, multiplier=Power(fan_in=-2))),
    "hidden init not scaled": (ADAM, "hidden", lambda entry: replace(entry, init_std=ONE)),
    "input init scaled like hidden": (ADAM, "input", lambda entry: replace(entry, init_std=Power(fan_out=-0.5))),
}


@pytest.mark.parametrize("name", PLANTS)
def test_one_wrong_entry_of_the_table_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, role, plant = PLANTS[name]
    monkeypatch.setitem(MUP, role, plant(MUP[role]))
    check = quick(optimizer=optimizer)
    assert check.verdict == "fail", check.reasons
    assert any(slope.decides and slope.verdict == "fail" for slope in check.slopes)


def test_a_transformer_with_one_wrong_entry_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MUP, "hidden", replace(MUP["hidden"], adam=ONE))
    assert coordinate_check(spec(task="python-text"), {}, [48, 96, 192], seeds=2).verdict == "fail"


def test_wider_is_better_under_mup() -> None:
    """Losses after a few steps fall with the width, or stay where they are."""
    check = quick()
    gained = math.log(10) - check.losses[0]
    assert gained > 0.5
    assert all(wide < narrow + 0.02 * gained for narrow, wide in pairwise(check.losses))
    assert not [reason for reason in check.reasons if reason.startswith("Wider")]


def test_wide_models_that_learn_worse_are_told() -> None:
    standard = coordinate_check(spec(parametrization="standard"), {}, [256, 1024], seeds=3)
    assert any(reason.startswith("Wider is not better") for reason in standard.reasons)


def test_one_eps_for_all_widths_damps_wide_models_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """An eps of the size of gradients; with the rule it does no harm."""
    tuned = {"eps": 1e-2}
    assert quick(tuned).verdict == "pass"
    for role, entry in list(MUP.items()):
        monkeypatch.setitem(MUP, role, replace(entry, gradient=ONE))
    assert quick(tuned).verdict == "fail"


@pytest.mark.parametrize(
    "tuned",
    [
        {"output_multiplier": 20.0, "learning_rate.hidden": 0.5, "weight_decay": 3.0},
        {"init_scale.input": 5.0, "init_scale.hidden": 0.2},
        {"beta1": 0.5, "beta2": 0.9},
    ],
)
def test_tuned_values_far_from_the_defaults_do_not_spoil_the_check(tuned) -> None:
    assert quick(tuned).verdict == "pass"


def test_a_learning_rate_at_which_the_narrowest_model_does_not_learn_is_lowered() -> None:
    check = quick({"output_multiplier": 20.0}, optimizer=SGD)
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
    job = spec(model={"depth": 1})
    first = coordinate_check(job, {}, on_step=counted.append)
    assert sum(counted) == check_steps(job)
    assert coordinate_check(job, {}) == first
    modules, matrices = 2, 2
    assert len(first.slopes) == modules * (5 + 4) + 2 * matrices + 2


def test_logits_of_a_zero_readout_are_exempt_before_the_first_step() -> None:
    check = coordinate_check(spec(), {}, [64, 128])
    exempt = {(slope.module, slope.quantity, slope.step) for slope in check.slopes if slope.verdict == "exempt"}
    deciding = {(slope.quantity, slope.step) for slope in check.slopes if slope.decides}
    assert deciding == {("activation", 4), ("change", 4), ("update_norm", 4)}
    assert exempt == {("readout", "activation", 0), ("layers.0", "change", 1), ("layers.1", "change", 1)}


@pytest.mark.parametrize("width", [4, 48, 64, 1000, 8192])
@pytest.mark.parametrize("depth", [1, 2, 32])
def test_ladders_double_have_four_widths_and_stay_affordable(width: int, depth: int) -> None:
    job = spec(model={"width": width, "depth": depth}, task="mnist5k")
    widths = ladder(Sizes.of(job, job.info))
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
    sizes = Sizes.of(job, job.info)
    widths = ladder(sizes)
    assert len(widths) >= 4
    assert all(low < high for low, high in pairwise(widths))
    assert sum(cost(sizes, width) for width in widths) <= 1.5
    if task == "python-text":
        assert all(width % job.model.head == 0 for width in widths)


def test_a_head_that_cannot_be_halved_gives_widths_of_one_to_four_heads() -> None:
    job = spec(task="python-text", model={"width": 512, "d_head": 512, "depth": 4})
    assert ladder(Sizes.of(job, job.info)) == [512, 1024, 1536, 2048]


def test_widths_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="must rise"):
        coordinate_check(spec(), {}, [128, 64])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"widths": [64]}, "at least two"),
        ({"widths": [64, 128], "seeds": 1}, "seeds .* is 1; allowed: at least 2"),
        ({"widths": [64, 128], "steps": 0}, "steps .* is 0; allowed: at least 1"),
    ],
)
def test_what_no_exponent_can_come_of_is_refused(arguments, complaint) -> None:
    with pytest.raises(ValueError, match=complaint):
        coordinate_check(spec(), {}, **arguments)


def test_widths_that_cut_a_head_are_refused() -> None:
    with pytest.raises(ValueError, match="width 50 is no multiple of d_head 16"):
        coordinate_check(spec(task="python-text"), {}, [50, 100])


def test_a_check_that_an_older_version_stored_is_still_read() -> None:
    stored = {
        "verdict": "pass",
        "widths": [64, 128],
        "steps": 4,
        "seeds": 3,
        "learning_rate": 0.01,
        "slopes": [{"module": "readout", "quantity": "change", "step": 4, "slope": 0.01, "verdict": "pass"}],
        "sizes": {"readout": [1.0, 1.0]},
        "losses": [1.0, 0.9],
    }
    check = CoordinateCheck.model_validate(stored)
    assert check.last("change")["readout"].low is None
    assert (check.kernel_change, check.update_norms, check.reasons) == ([], {}, [])


def test_seeds_one_by_one_show_what_they_show_together(monkeypatch) -> None:
    spec = JobSpec.model_validate({"task": "digits", "model": {"width": 8}})
    together = coordinate_check(spec, {}, [16, 32], seeds=4, steps=2, learning_rate=0.01)
    monkeypatch.setattr("hpo.evidence.coordinates.probe.MOST_AT_ONCE", 3_500)
    # 2,000 and 3,500 parameters at width 16 and 32: two seeds at once, then one.
    apart = coordinate_check(spec, {}, [16, 32], seeds=4, steps=2, learning_rate=0.01)
    assert [(slope.module, slope.quantity, slope.step) for slope in apart.slopes] == [
        (slope.module, slope.quantity, slope.step) for slope in together.slopes
    ]
    for one, other in zip(apart.slopes, together.slopes, strict=True):
        assert one.slope == pytest.approx(other.slope, abs=1e-4)
    assert apart.losses == pytest.approx(together.losses) and apart.kernel_change == pytest.approx(
        together.kernel_change, rel=1e-3
    )
