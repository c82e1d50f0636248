"""Batch size, horizon and data: each formula by hand, what refuses a plan, and what a plan says of all of it."""

import math

import pytest

from hpo.errors import Refused
from windtunnel.types import TransferPlan, TuneResult
from windtunnel.types.ladders import Ladder, LadderCertificate, LadderRung
from windtunnel.types.translations import HorizonFit, NoiseScale

VALUES = {"learning_rate": 0.01, "weight_decay": 0.1}
BOTH = [{"name": "learning_rate"}, {"name": "weight_decay"}]


def scale(examples: float | None = 500.0, low: float = 400.0, high: float | None = 600.0) -> NoiseScale:
    return NoiseScale(examples=examples, low=low, high=high, times=[0.5], at=[examples], runs=4, batches=32)


def fit(exponent: float | None, low: float | None, high: float | None) -> HorizonFit:
    return HorizonFit(
        horizons=[50, 100, 200], factors=[1.0], losses=[], exponent=exponent, low=low, high=high, run_equivalents=35.0
    )  # fmt: skip


def job(finish, **fields: object) -> TuneResult:
    result: TuneResult = finish({"search": BOTH, **fields}, VALUES)
    return result.model_copy(update={"noise_scale": scale()})


def row(plan: TransferPlan, name: str = "layers.0.weight"):
    return next(row for row in plan.tensors if row.name == name)


def said(plan: TransferPlan, quantity: str):
    return next(entry for entry in plan.assumptions if entry.quantity == quantity)


def test_the_proxy_s_own_batch_steps_and_data_change_nothing(finish, plan_of) -> None:
    result = job(finish)
    plain = plan_of(result, width=64)
    same = plan_of(result, width=64, batch_size=64, steps=200, examples=1078)
    assert same.tensors == plain.tensors and same.roles == plain.roles
    assert all(row.learning_rate == 0.01 for row in same.tensors)


@pytest.mark.parametrize(("optimizer", "factor"), [("adamw", 2.0), ("adam", 2.0), ("sgd", 4.0)])
def test_the_rate_follows_the_batch_by_its_root_under_adam_and_in_proportion_under_sgd(
    finish, plan_of, optimizer: str, factor: float
) -> None:
    plan = plan_of(job(finish, optimizer={"name": optimizer, "decay": "decoupled"}), width=64, batch_size=256)
    assert plan.batch_size == 256 and row(plan).learning_rate == pytest.approx(0.01 * factor)
    assert said(plan, "batch_size").formula == ("lr * B'/B" if optimizer == "sgd" else "lr * sqrt(B'/B)")
    assert "500 examples, 95 % interval 400 to 600" in said(plan, "batch_size").assumption
    (formula,) = {role.formulas["learning_rate"] for role in plan.roles if role.role == "hidden"}
    assert formula.endswith(" * B'/B" if optimizer == "sgd" else " * sqrt(B'/B)")


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({"batch_size": 256}, 2.0),
        ({"examples": 10 * 1078}, 1.0),
        ({"batch_size": 128, "examples": 5 * 1078, "steps": 800}, 2**0.5 * 4**-0.3),
    ],
)
@pytest.mark.parametrize("decay", ["decoupled", "independent"])
def test_the_time_scale_of_the_decay_is_held_in_epochs(finish, plan_of, changes, rate: float, decay: str) -> None:
    result = job(finish, optimizer={"decay": decay}).model_copy(update={"horizon": fit(-0.3, -0.4, -0.2)})
    plan = plan_of(result, width=64, **changes)
    assert row(plan).learning_rate == pytest.approx(0.01 * rate)
    batch, examples = changes.get("batch_size", 64), changes.get("examples", 1078)

    def tau(learning_rate: float, weight_decay: float, size: int, data: int) -> float:
        """Epochs that the average of AdamW's weights reaches back."""
        shrink = learning_rate * weight_decay if decay == "decoupled" else weight_decay
        return size / (shrink * data)

    now = tau(row(plan).learning_rate, row(plan).weight_decay, batch, examples)
    assert now == pytest.approx(tau(0.01, 0.1, 64, 1078))
    # Biases stay without decay.
    assert row(plan, "layers.0.bias").weight_decay == 0


def test_a_batch_past_the_noise_scale_is_refused_and_force_says_so(finish, plan_of) -> None:
    result = job(finish)
    with pytest.raises(Refused, match=r"batch size 1024 is past the critical batch size, about 500 examples.*tr\(Sigma\)"):
        plan_of(result, width=64, batch_size=1024)
    plan = plan_of(result, width=64, batch_size=1024, force=True)
    assert plan.forced and any("past the critical" in sentence for sentence in plan.not_covered)
    assert row(plan).learning_rate == pytest.approx(0.04)


def test_a_proxy_batch_past_the_noise_scale_lets_no_other_batch_follow(finish, plan_of) -> None:
    result = job(finish).model_copy(update={"noise_scale": scale(40.0, 30.0, 50.0)})
    with pytest.raises(Refused, match="batch size 64 is past the critical"):
        plan_of(result, width=64, batch_size=32)
    assert not plan_of(result, width=64).forced


def test_without_a_noise_scale_no_batch_is_extrapolated(finish, plan_of) -> None:
    with pytest.raises(Refused, match="measured no gradient noise scale"):
        plan_of(job(finish).model_copy(update={"noise_scale": None}), width=64, batch_size=128)
    # Where the gradient drowns in noise the bound from below is what counts.
    drowned = job(finish).model_copy(update={"noise_scale": scale(None, 900.0, None)})
    assert not plan_of(drowned, width=64, batch_size=900).forced
    with pytest.raises(Refused, match="about 900 examples"):
        plan_of(drowned, width=64, batch_size=901)


def test_the_horizon_s_exponent_is_used_where_it_is_sure(finish, plan_of) -> None:
    result = job(finish).model_copy(update={"horizon": fit(-0.3, -0.5, -0.1)})
    plan = plan_of(result, width=64, steps=1600)
    assert row(plan).learning_rate == pytest.approx(0.01 * 8**-0.3)
    assert row(plan).learning_rate * row(plan).weight_decay == pytest.approx(1e-3)
    assert said(plan, "horizon").value == -0.3 and "-0.50 to -0.10" in said(plan, "horizon").formula
    far = plan_of(result, width=64, steps=200_000)
    assert any("1000 times as many" in sentence for sentence in far.not_covered)


@pytest.mark.parametrize(
    ("horizon", "words"),
    [
        (None, "no exponent was fitted"),
        (fit(-0.3, -0.7, 0.1), "does not exclude that the learning rate stays"),
        (fit(None, None, None), "found no exponent"),
    ],
)
def test_a_horizon_that_was_not_fitted_or_is_unsure_moves_nothing_and_is_named(
    finish, plan_of, horizon, words: str
) -> None:
    plan = plan_of(job(finish).model_copy(update={"horizon": horizon}), width=64, steps=800)
    assert row(plan).learning_rate == 0.01 and any(words in sentence for sentence in plan.not_covered)


def test_l2_inside_adam_is_copied_and_said_to_be(finish, plan_of) -> None:
    plan = plan_of(job(finish, optimizer={"name": "adam", "decay": "l2"}), width=64, batch_size=128)
    assert row(plan).weight_decay == 0.1 and any("L2 inside Adam has no rule" in sentence for sentence in plan.not_covered)


def test_the_tuning_s_share_counts_examples(finish, plan_of) -> None:
    result = job(finish)
    one, four = plan_of(result, width=64), plan_of(result, width=64, batch_size=256)
    assert one.tuning_share == pytest.approx(300.0) and four.tuning_share == pytest.approx(75.0)


def ladder(verdict: str, drift: float = 0.8) -> LadderCertificate:
    rungs = [LadderRung(width=width, losses=[], optimum=0.0, low=None, high=None) for width in (32, 64, 128)]
    found = Ladder.model_validate(
        {"quantity": "learning_rate", "parametrization": "mup", "rungs": rungs, "drift": drift, "low": drift - 0.2,
         "high": drift + 0.2, "curvature": 0.05, "verdict": verdict}
    )  # fmt: skip
    return LadderCertificate(factors=[1.0], seeds=4, steps=200, learning_rate=found, run_equivalents=50.0)


def test_a_failed_ladder_refuses_the_plan_unless_forced(finish, plan_of) -> None:
    result = job(finish).model_copy(update={"ladder": ladder("fail")})
    with pytest.raises(Refused, match=r"ladder failed: the best learning rate moves by \+0.80 doublings"):
        plan_of(result, width=256)
    plan = plan_of(result, width=256, force=True)
    assert plan.forced and plan.ladder is not None
    (penalty,) = plan.penalties
    assert penalty.displacement == pytest.approx(1.6) and penalty.share == pytest.approx(math.expm1(0.05 * 1.6**2))
    # At the proxy's own width there is nothing to drift to.
    assert not plan_of(result, width=64).forced and plan_of(result, width=64).penalties == []


def test_an_open_ladder_or_none_is_named(finish, plan_of) -> None:
    open_ended = plan_of(job(finish).model_copy(update={"ladder": ladder("inconclusive")}), width=256)
    assert not open_ended.forced and any("is not settled" in text for text in open_ended.not_covered)
    assert any("no ladder of widths was climbed" in text for text in plan_of(job(finish), width=256).not_covered)
    calm = plan_of(job(finish).model_copy(update={"ladder": ladder("pass", 0.1)}), width=256)
    assert not any("Drift" in text for text in calm.not_covered)
