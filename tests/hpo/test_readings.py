"""The chaos reading: means over sound members, the growth exponent, and where in the run steps were bounded."""

import math

import pytest
import torch

from hpo.estimators.protocol import Estimate
from hpo.search.readings import PARTS, Chaos, Readings


def estimate() -> Estimate:
    """Two members over 40 steps; the first was bounded in its first half, the second never; a third diverged."""
    scales = torch.ones(40, 3)
    scales[:20, 0] = 0.5
    scales[:, 2] = 0.0
    growth = torch.zeros(40, 3)
    growth[:20, 0], growth[:, 2] = 0.4, math.inf
    return Estimate(
        torch.zeros(3), torch.zeros(3, 2), 1.0, (scales < 1).float().mean(0), scales.mean(0), growth=growth, scales=scales
    )


def test_diverged_members_have_no_say_and_the_profile_shows_where_steps_were_bounded() -> None:
    chaos = Chaos.read(estimate(), torch.tensor([True, True, False]))
    assert chaos is not None and chaos.exponent == pytest.approx(0.1)
    assert (chaos.bounded_share, chaos.mean_scale) == pytest.approx((0.25, 0.875))
    assert chaos.profile == (0.5,) * (PARTS // 2) + (0.0,) * (PARTS // 2)


def test_the_exact_adjoint_and_a_step_without_a_sound_member_read_nothing() -> None:
    assert Chaos.read(Estimate(torch.zeros(1), torch.zeros(1, 2), 1.0), torch.tensor([True])) is None
    assert Chaos.read(estimate(), torch.tensor([False, False, False])) is None
    assert Readings().adding(None).chaos() is None


def test_a_run_shorter_than_the_profile_has_empty_parts() -> None:
    short = Estimate(torch.zeros(1), torch.zeros(1, 2), 1.0, torch.ones(1), torch.zeros(1), scales=torch.zeros(3, 1))
    chaos = Chaos.read(short, torch.tensor([True]))
    assert chaos is not None and len(chaos.profile) == PARTS and sum(chaos.profile) == 3.0 and chaos.exponent is None


def test_a_job_reports_the_mean_of_its_steps() -> None:
    first, second = Chaos(0.2, 0.9, 0.1, (0.4,) * PARTS), Chaos(0.4, 0.7, None, (0.0,) * PARTS)
    reading = Readings().dropping(2).adding(first).adding(second).adding(None).chaos()
    assert reading is not None
    assert (reading.bounded_share, reading.mean_scale) == pytest.approx((0.3, 0.8))
    assert reading.growth_exponent == 0.1 and reading.bounded_profile == pytest.approx((0.2,) * PARTS)
