"""Verdicts: an exponent counts where its interval excludes the opposite; losses that rise with the width are told."""

import random

import pytest

from hpo.evidence.slopes import Interval, interval
from hpo.evidence.verdict import exempted, initial_logits_dominate, judge, measured_slope, overall, rises

WIDTHS = [64, 128]


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (0.1, 0.0, "pass"),
        (-0.1, 0.1, "pass"),
        (0.05, 0.24, "pass"),
        (0.05, 0.3, "inconclusive"),
        (0.12, 0.1, "inconclusive"),
        (0.12, 0.0, "inconclusive"),
        (-0.3, 0.0, "inconclusive"),
        (0.31, 0.1, "fail"),
        (-0.69, 0.2, "fail"),
        (0.4, 0.35, "inconclusive"),
        (0.31, 9.9, "inconclusive"),
    ],
)
def test_a_verdict_needs_an_interval_that_excludes_the_opposite(value: float, half: float, verdict: str) -> None:
    assert judge(Interval(value, value - half, value + half)) == verdict


@pytest.mark.parametrize(("truth", "wrong"), [(0.0, "fail"), (0.12, "fail"), (0.12, "pass"), (0.5, "pass")])
def test_noise_seldom_turns_a_verdict_into_the_wrong_one(truth: float, wrong: str) -> None:
    """Three seeds whose exponents scatter by .1: a slope of .12 may look like .09, but seldom with certainty."""
    draw = random.Random(1)
    verdicts = [judge(interval([draw.gauss(truth, 0.1) for _ in range(3)])) for _ in range(2000)]
    limit = 0.25 if (truth, wrong) == (0.12, "pass") else 0.005
    assert verdicts.count(wrong) / len(verdicts) < limit


def slope(name: str, *sizes: float, quantity="change", step: int = 4, last: bool = True):
    return measured_slope(name, quantity, step, WIDTHS, [[size, size] for size in sizes], last=last)


def test_the_worst_exponent_that_decides_is_the_verdict() -> None:
    still, moving, dead = slope("a", 0.0, 0.0), slope("b", 1.0, 1.0), slope("c", 0.0, 1.0)
    assert (still.verdict, moving.verdict, dead.verdict) == ("exempt", "pass", "fail")
    assert overall([moving], [])[0] == "pass"
    verdict, reasons = overall([moving, still], [])
    assert verdict == "fail" and reasons == ["a: 4 steps change nothing at any width."]
    early = slope("a", 0.0, 0.0, step=1)
    assert overall([moving, early], [])[0] == "inconclusive"  # a readout at 0 keeps the others where they are for a step
    assert overall([moving, dead], [])[0] == "fail"
    assert overall([slope("b", 1.0, 9.0, step=3, last=False), moving], [])[0] == "pass"
    assert overall([slope("w", 1.0, 9.0, quantity="weight_norm"), moving], [])[0] == "pass"
    assert overall([slope("w", 1.0, 9.0, quantity="update_norm"), moving], [])[0] == "fail"
    assert overall([], [])[0] == "inconclusive"


@pytest.mark.parametrize(("seeds", "verdict"), [(1, "pass"), (2, "pass"), (3, "fail"), (5, "fail")])
def test_a_change_of_0_in_a_minority_of_seeds_is_an_accident_of_the_start(seeds: int, verdict: str) -> None:
    sizes = [[1.0] * 5, [0.0] * seeds + [1.0] * (5 - seeds)]
    assert measured_slope("a", "change", 4, WIDTHS, sizes, last=True).verdict == verdict
    assert measured_slope("a", "change", 4, WIDTHS, [row[::-1] for row in sizes], last=True).verdict == verdict


def test_reasons_name_the_steepest_first() -> None:
    _, reasons = overall([slope("flat", 1.0, 1.0), slope("steep", 1.0, 2.0), slope("steeper", 1.0, 4.0)], [])
    assert [reason.partition(":")[0] for reason in reasons] == ["steeper", "steep"]
    assert "width^+2.00 (95% interval +2.00 to +2.00); fails beyond 0.3" in reasons[0]


def test_a_run_that_overflowed_fails_whatever_its_exponent() -> None:
    assert slope("a", float("inf"), float("inf")).verdict == "fail"


def test_a_single_seed_has_no_interval_and_so_no_verdict() -> None:
    found = measured_slope("a", "change", 4, WIDTHS, [[1.0], [1.0]], last=True)
    assert (found.low, found.high, found.verdict) == (None, None, "inconclusive")


def test_logits_are_exempt_while_what_they_were_at_initialisation_dominates() -> None:
    initial = [[0.5, 0.5], [0.3, 0.3]]
    assert initial_logits_dominate([initial, initial], [[[0.1, 0.1], [0.1, 0.1]]])
    assert not initial_logits_dominate([initial, initial], [[[0.6, 0.6], [0.4, 0.4]]])
    falling = slope("readout", 1.0, 0.5, quantity="activation")
    assert falling.verdict == "fail"
    assert overall([exempted(falling), slope("b", 1.0, 1.0)], [])[0] == "pass"


def test_losses_that_fall_or_rise_within_their_noise_say_nothing() -> None:
    falling = [[1.0, 1.1, 0.9], [0.9, 1.0, 0.8], [0.8, 0.9, 0.7]]
    noisy = [[1.0, 1.1, 0.9], [1.1, 1.1, 0.95], [0.9, 1.3, 1.0]]
    small = [[1.0, 1.1, 0.9], [1.01, 1.11, 0.91], [1.02, 1.12, 0.92]]
    for losses in (falling, noisy, small):
        assert rises([1, 2, 4], losses, gained=1.0) == []


def test_a_loss_that_rises_beyond_its_interval_makes_a_pass_inconclusive_and_no_failure() -> None:
    found = rises([64, 128], [[1.0, 1.1, 0.9], [1.5, 1.61, 1.39]], gained=1.0)
    assert len(found) == 1
    assert "rises by 0.5 nats from width 64 to 128" in found[0]
    assert overall([slope("b", 1.0, 1.0)], found) == ("inconclusive", found)
