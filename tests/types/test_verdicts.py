"""The verdict on a job: how a gain is held against its noise, and how numbers are written."""

import math

import pytest

from windtunnel.types import BestPoint, Job
from windtunnel.types.verdicts import STANDARD_ERRORS, Gain, estimate

NONE = "no gain beyond noise"


@pytest.mark.parametrize(
    ("start", "best", "beyond"),
    [
        ((0.50, 0.01), (0.25, 0.01), True),
        ((0.50, 0.03), (0.49, 0.03), False),
        ((0.50, 0.03), (0.42, 0.04), False),  # 0.08 against twice 0.05
        ((0.50, 0.03), (0.39, 0.04), True),  # 0.11 against twice 0.05
        ((0.50, 0.01), (0.50, 0.01), False),
        ((0.50, 0.00), (0.50, 0.00), False),
        ((0.50, 0.00), (0.49, 0.00), True),
        ((0.25, 0.00), (0.50, 0.00), False),  # worse is no gain, however sure it is
        ((3e6, 1e5), (1e6, 1e5), True),
        ((3e-9, 1e-9), (1e-9, 1e-9), False),
    ],
)
def test_a_gain_is_held_against_the_error_of_the_difference(start, best, beyond):
    gain = Gain.between(start, best)
    assert gain.mean == start[0] - best[0]
    assert gain.stderr**2 == pytest.approx(start[1] ** 2 + best[1] ** 2)
    assert gain.beyond_noise is beyond is (gain.mean > max(0.0, STANDARD_ERRORS * gain.stderr))
    assert (gain.words == NONE) is not beyond
    assert gain.words in gain.headline and ("lower" in gain.headline) is beyond


def test_a_start_whose_every_run_diverged_is_told_as_that():
    gain = Gain.between((math.inf, 0.0), (0.25, 0.01))
    assert gain.beyond_noise
    for words in (gain.words, gain.headline):
        assert "inf" not in words and "diverged" in words
    assert Gain.model_validate_json(gain.model_dump_json()) == gain


@pytest.mark.parametrize(
    ("mean", "stderr", "text"),
    [
        (0.123456, 0.0021, "0.1235 ± 0.0021"),
        (0.5, 0.01, "0.500 ± 0.010"),
        (123456.0, 1234.0, "123456 ± 1234"),
        (1e-12, 2e-13, "1.00e-12 ± 2.0e-13"),
        (0.0, 2e-13, "0e+00 ± 2.0e-13"),
        (0.25, 0.0, "0.25"),
        (0.25, math.nan, "0.25"),
        (math.inf, 0.0, "inf"),
        (None, None, "–"),
    ],
)
def test_a_mean_is_rounded_to_its_errors_second_digit(mean, stderr, text):
    assert estimate(mean, stderr) == text


@pytest.fixture
def job() -> Job:
    """A running job before its first outer step."""
    return Job.model_validate(
        {
            "id": "job_1",
            "name": "",
            "state": "running",
            "spec": {"task": "digits"},
            "progress": dict.fromkeys(("outer_step", "inner_steps", "fraction", "run_equivalents"), 0)
            | {"outer_steps": 12, "phase": "tune"},
            "created_at": "2026-01-01T00:00:00Z",
            "attempts": 1,
            "plans": [],
            **dict.fromkeys(("current", "best", "failure", "started_at", "finished_at", "worker")),
            "cancel_requested": False,
        }
    )


def test_a_job_says_which_seeds_its_best_loss_is_on(job):
    assert (job.best_loss, job.verdict) == ("–", "")
    point = {"outer_step": 1, "loss": 0.5, "stderr": 0.01, "hyperparameters": {}}
    # As a server of an older version sends it.
    searched = Job.model_validate(job.model_dump() | {"best": point})
    assert (searched.best_loss, searched.verdict) == ("0.500 ± 0.010", "so far, on the search's seeds")
    assert searched.model_copy(update={"state": "cancelled"}).verdict == "on the search's seeds"
    for gain, words in ((0.25, "lower by 0.250 ± 0.010 than at the start"), (0.01, NONE)):
        best = BestPoint(**point, judged_on="fresh", gain=Gain(mean=gain, stderr=0.01))
        assert job.model_copy(update={"state": "succeeded", "best": best}).verdict == f"on fresh seeds, {words}"
