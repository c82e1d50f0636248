"""Which arm is next: exploration first, then the better rate, and never nothing for one of them."""

import pytest

from hpo.footprint.budget import EXPLORATION, LEAST_SHARE
from hpo.search.portfolio.arms import PlayedArm, Tally, choose

LATE = 2 * EXPLORATION


def tallies(gradient: Tally, sampler: Tally) -> dict[PlayedArm, Tally]:
    return {"gradient": gradient, "sampler": sampler}


def test_no_gradient_before_the_basin_is_chosen_and_none_that_is_out_of_the_question() -> None:
    found = tallies(Tally(1.0, 1.0, 1.0), Tally(0.0, 9.0, 9.0))
    assert choose(found, EXPLORATION - 1, None)[0] == "sampler"
    assert choose(found, LATE, None)[0] == "gradient"
    assert choose(found, LATE, "for want of budget") == ("sampler", "for want of budget")


def test_the_higher_rate_wins() -> None:
    even = Tally(0.1, 10.0, 30.0)
    assert choose(tallies(even, Tally(0.2, 10.0, 30.0)), LATE, None)[0] == "sampler"
    arm, reason = choose(tallies(even, Tally(0.05, 10.0, 30.0)), LATE, None)
    assert arm == "gradient" and "0.01" in reason and "0.005" in reason


def test_an_arm_that_gains_nothing_keeps_its_share() -> None:
    bank = tallies(Tally(), Tally())
    for _ in range(200):
        arm, _ = choose(bank, LATE, None)
        gain = 1.0 if arm == "sampler" else 0.0
        bank[arm] = bank[arm].booking(gain, 9.0 if arm == "gradient" else 6.0)
    total = bank["gradient"].spent + bank["sampler"].spent
    assert bank["gradient"].spent / total == pytest.approx(LEAST_SHARE, abs=0.02)


def test_old_gains_are_forgotten_in_favour_of_new_ones() -> None:
    tally = Tally().booking(1.0, 1.0)
    assert tally.rate == 1.0
    for _ in range(20):
        tally = tally.booking(0.0, 1.0)
    assert tally.rate < 1e-3 and tally.spent == 21.0 and Tally().rate == 0.0
