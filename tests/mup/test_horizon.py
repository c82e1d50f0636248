"""Named rules for the length of a run, Adam's averages, and data that are seen once: each formula, and there and back."""

import math

import pytest

from hpo.errors import Refused
from hpo.plans.findings import Findings
from hpo.plans.translating import Translation
from hpo.plans.translation import translate
from windtunnel.types import JobSpec, Target

BETAS = {"beta1": 0.9, "beta2": 0.95}
VALUES = {"learning_rate": 0.01, "weight_decay": 0.1}
LONG = {"steps": 100, "batch_size": 8}


def findings(finish, **fields) -> Findings:
    result = finish({"task": "python-text", "inner": {**LONG, **fields.pop("inner", {})}, **fields}, VALUES)
    return Findings.of(result)


def moved(finish, betas=BETAS, *, inner=None, rules=None, **target) -> Translation:
    found = findings(finish, inner=inner or {}, transfer=rules or {})
    return translate(found, Target(width=48, **target), betas)


@pytest.mark.parametrize(("rule", "exponent"), [("completedp", -0.5), ("hyperp", -0.32), ("marin", -0.3)])
def test_a_named_rule_is_a_power_of_the_examples_seen_beside_the_root_of_the_batch(finish, rule, exponent):
    """Marin's recipe: lr = lr0 sqrt(B/B0) (T0/T)^0.3, T in tokens."""
    found = moved(finish, rules={"horizon_rule": rule}, steps=800, batch_size=32)
    assert found.learning_rate == pytest.approx(math.sqrt(4) * 32.0**exponent)
    assert found.formulas["learning_rate"] == f" * sqrt(B'/B) * kD^{exponent:g}"


def test_completedp_is_the_root_of_r_for_rate_and_decay_and_r_for_the_averages(finish):
    """arXiv:2512.22382: r = kB / kD; lr sqrt(r), lambda sqrt(r), 1 - beta -> r (1 - beta), eps / sqrt(r)."""
    rules = {"horizon_rule": "completedp", "averages_rule": "completedp"}
    kb, kd = 2.0, 8.0
    found, r = moved(finish, rules=rules, steps=400, batch_size=16), kb / kd
    assert found.learning_rate == pytest.approx(math.sqrt(r)) and found.weight_decay == pytest.approx(math.sqrt(r))
    assert found.betas == pytest.approx({"beta1": 1 - r * 0.1, "beta2": 1 - r * 0.05})
    assert found.eps == pytest.approx(1 / math.sqrt(r))
    assert found.formulas["eps"] == " / sqrt(r)"


@pytest.mark.parametrize("rule", ["completedp", "hyperp", "marin"])
def test_there_and_back_changes_nothing(finish, rule):
    rules = {"horizon_rule": rule, "averages_rule": "completedp"}
    there = moved(finish, rules=rules, steps=300, batch_size=24)
    back = moved(finish, there.betas, inner={"steps": 300, "batch_size": 24}, rules=rules, **LONG)
    assert there.learning_rate * back.learning_rate == pytest.approx(1)
    assert there.weight_decay * back.weight_decay == pytest.approx(1)
    assert there.eps * back.eps == pytest.approx(1) and back.betas == pytest.approx(BETAS)


def test_two_steps_are_one(finish):
    rules = {"horizon_rule": "hyperp", "averages_rule": "completedp"}
    first = moved(finish, rules=rules, steps=200, batch_size=16)
    second = moved(finish, first.betas, inner={"steps": 200, "batch_size": 16}, rules=rules, steps=600, batch_size=8)
    whole = moved(finish, rules=rules, steps=600, batch_size=8)
    assert first.learning_rate * second.learning_rate == pytest.approx(whole.learning_rate)
    assert first.weight_decay * second.weight_decay == pytest.approx(whole.weight_decay)
    assert second.betas == pytest.approx(whole.betas)


def test_the_averages_cover_the_same_share_of_the_run(finish):
    """(1 - beta) T, the share of the run over which an average goes, inverted, is kept."""
    found = moved(finish, rules={"averages_rule": "completedp"}, steps=1000)
    for name, value in found.betas.items():
        assert (1 - value) * 1000 == pytest.approx((1 - BETAS[name]) * 100)


def test_data_seen_once_grow_with_the_run_and_the_decay_follows(finish):
    """Less than one epoch of 9,600 windows: lr lambda falls as T/T', so that 1 / (lr lambda T) stays."""
    found = moved(finish, steps=400)
    assert found.learning_rate == 1 and found.weight_decay == pytest.approx(0.25)
    (entry,) = [each for each in found.assumptions if each.quantity == "decay_time_scale"]
    assert "the proxy saw less than one epoch, so 4 times the examples seen" in entry.assumption
    said = moved(finish, steps=400, examples=9600)
    assert said.weight_decay == 1  # the same data again
    several = moved(finish, inner={"steps": 2000}, steps=4000)
    assert several.weight_decay == 1  # more epochs over the same data


def test_a_plan_has_the_betas_and_eps_of_its_rules(finish, plan_of):
    result = finish({"task": "python-text", "inner": LONG}, VALUES)
    plan = plan_of(result, width=48, steps=400, averages_rule="completedp", horizon_rule="completedp")
    assert plan.beta1 == pytest.approx(1 - 0.25 * 0.1) and plan.beta2 == pytest.approx(1 - 0.25 * 0.001)
    assert all(row.eps == pytest.approx(2e-8) for row in plan.tensors)
    assert "beta1" not in {each.quantity for each in plan.assumptions}
    same = plan_of(result, width=48, averages_rule="completedp", horizon_rule="completedp")
    assert same.tensors == plan_of(result, width=48).tensors and same.beta1 == 0.9


def test_an_average_longer_than_allowed_is_refused_by_name(finish, plan_of):
    """A twentieth of the steps makes 1 - beta1 = 2."""
    result = finish({"task": "python-text", "inner": LONG}, VALUES)
    with pytest.raises(Refused, match="1 - beta1 = 2; allowed: at most 1"):
        plan_of(result, width=48, steps=5, averages_rule="completedp")


@pytest.mark.parametrize(
    ("optimizer", "rule", "words"),
    [
        ("sgd", {"horizon_rule": "hyperp"}, "horizon_rule 'hyperp' is for updates whose size"),
        ("lion", {"averages_rule": "completedp"}, "averages_rule 'completedp' is for adam"),
        ("adamw", {"horizon_rule": "sqrt"}, "'fitted', 'completedp', 'hyperp' or 'marin'"),
    ],
)
def test_a_rule_that_does_not_cover_the_optimizer_is_refused(optimizer, rule, words):
    with pytest.raises(ValueError, match=words):
        JobSpec.model_validate({"task": "digits", "optimizer": {"name": optimizer}, "transfer": rule})
