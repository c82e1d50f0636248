"""Every bilevel example runs by --quick, in this process, and finds what its page says that it finds."""

import re
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "bilevel"


@pytest.fixture
def run(monkeypatch, capsys):
    """Name of an example -> what it prints."""

    def printed(name: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, "--quick"])
        runpy.run_path(str(FOLDER / f"{name}.py"))
        told: str = capsys.readouterr().out
        assert "single precision" not in told and "not settled" not in told
        return told

    return printed


def number(printed: str, before: str) -> float:
    (found,) = re.findall(rf"^.*{re.escape(before)}\s+(-?\d+\.\d+)", printed, re.MULTILINE)
    return float(found)


def test_weights_of_wrong_labels_fall_below_those_of_right_ones(run):
    printed = run("example_weights")
    assert number(printed, "AUC of the weights:") > 0.85
    assert number(printed, "accuracy, tuned weights") > number(printed, "accuracy, all weights equal") + 0.01


def test_a_penalty_for_each_parameter_beats_one_for_all(run):
    printed = run("l2_by_parameter")
    rows = re.findall(r"^(.+?)\s+validation loss (\S+)  test loss (\S+)$", printed, re.MULTILINE)
    test = {name: float(loss) for name, _, loss in rows}
    assert list(test) == ["no penalty", "one lambda", "1,930 lambdas"]
    assert test["1,930 lambdas"] < 0.6 * test["one lambda"] < test["no penalty"]


def test_a_learned_start_adapts_faster_than_a_pre_trained_one(run):
    printed = run("initialisation")
    assert number(printed, "learned start") < 0.7 * number(printed, "pre-trained start")


def test_ten_distilled_images_teach_more_than_ten_real_ones(run):
    printed = run("distillation")
    assert number(printed, "ten distilled images") > number(printed, "ten real images") + 0.1


def test_six_numbers_of_a_rule_beat_adam_on_tasks_that_chose_nothing(run):
    printed = run("learned_rule")
    assert number(printed, "learned rule") < 0.8 * number(printed, "best of 12 rates")


def test_an_unrolled_search_beats_random_architectures_and_the_one_step_search(run):
    printed = run("architecture")
    (unrolled,), (one_step,) = (
        re.findall(rf"^{name}: test loss (\S+)", printed, re.M) for name in ("unrolled", "one step ahead")
    )
    assert float(unrolled) < 0.8 * number(printed, "random architectures: test loss")
    assert float(unrolled) < float(one_step)
    told = printed.split("unrolled       layer 0:")[1].split("\n")[0]
    shares = {name: float(share) for name, share in re.findall(r"(\w+) (\d\.\d\d)", told)}
    assert max(shares, key=shares.get) == "sine" and sum(shares.values()) == pytest.approx(1, abs=0.03)


def test_shares_of_useless_sources_fall(run):
    printed = run("data_mixture")
    assert number(printed, "another task") < 0.05 and number(printed, "noise") < 0.05
    assert number(printed, "tuned shares") < number(printed, "first source alone") < number(printed, "equal shares")
