"""The top of a job's page: the verdict before all else, the time that is left, and what was asked for."""

import html
import json
import math
import re
from datetime import UTC, datetime, timedelta

import pytest

from service.pages.findings import LEAST_SHARE, seconds_left, verdict_of
from service.pages.rendering import roughly
from store import jobs
from store.keys import LOCAL
from tests.service.conftest import tune_result
from windtunnel.types import Attempt, JobEvent, JobSpec

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_page_begins_with_the_verdict_what_was_found_and_the_form_for_a_plan(client, work):
    page = html.unescape(client.get(f"/jobs/{work.succeeded()}").text)
    parts = [
        "The loss is lower by 0.250 ± 0.014, beyond noise",
        "0.250 ± 0.010</strong> against <span>0.500 ± 0.010</span> at the start",
        "Hyperparameters found",
        "Make a plan</button>",
        'id="figure-loss"',
        "Evidence",
        "Spec ",
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert "<progress" not in page


def test_a_job_that_runs_or_failed_has_a_bar_and_no_verdict(client, work):
    for job_id in (work.running().job_id, work.failed()):
        page = client.get(f"/jobs/{job_id}").text
        assert "<progress" in page and "beyond noise" not in page


def test_the_losses_of_a_start_that_diverged_are_not_told_as_infinite():
    result = tune_result(JobSpec(task="digits"), "pass")
    lost = {part: getattr(result.start, part).model_copy(update={"mean": math.inf}) for part in ("validation", "test")}
    verdict = verdict_of(result.model_copy(update={"start": result.start.model_copy(update=lost)}))
    assert (verdict.test_at_start, verdict.validation_at_start) == ("no number", "no number")
    assert "diverged at the start" in verdict.headline


@pytest.mark.parametrize(
    "asked",
    [{"model": {"width": 24}}, {"schedule": {"name": "warmup"}, "seed": 7}, {"optimizer": {"name": "sgd"}}],
    ids=["width", "schedule", "optimizer"],
)
def test_the_spec_on_the_page_is_the_job_that_was_asked_for(client, work, asked):
    job_id = work.queued(**asked)
    page = html.unescape(client.get(f"/jobs/{job_id}").text)
    for name in ("asked", "whole"):
        told = re.search(rf'<pre id="spec-{name}"[^>]*>(.*?)</pre>', page, re.DOTALL)
        assert told and JobSpec.model_validate(json.loads(told[1])) == JobSpec(task="digits", **asked)


def attempts(*begun: float, ended: bool = False) -> list[Attempt]:
    """Attempts that began so many seconds after the start; only the last has not ended."""
    return [
        Attempt(
            epoch=index + 1,
            worker="w",
            rung_at=None,
            started_at=START + timedelta(seconds=at),
            ended_at=START if ended or index + 1 < len(begun) else None,
            outcome=None,
            reason=None,
        )
        for index, at in enumerate(begun)
    ]


@pytest.mark.parametrize(
    ("done", "begun", "steps", "now", "left"),
    [
        (0.25, [0], [], 100, 300),
        (0.5, [0], [(50, 10.0)], 100, 100),
        # Half of the job stood when the second attempt began: its quarter took 50 s, so the last quarter does, too.
        (0.75, [0, 1000], [(90, 20.0), (1020, 30.0)], 1050, 50),
        (LEAST_SHARE / 2, [0], [], 100, None),
        (0.5, [0, 1000], [(90, 30.0)], 1050, None),
        (1.0, [0], [], 100, None),
    ],
)
def test_time_left_is_told_by_the_speed_of_the_present_attempt(work, sqlite, done, begun, steps, now, left):
    job_id = work.running().job_id
    with sqlite.snapshot() as session:
        job = jobs.get(session, job_id, owner=LOCAL)
    job = job.model_copy(update={"progress": job.progress.model_copy(update={"fraction": done, "run_equivalents": 30.0})})
    log = [
        JobEvent(job_id=job_id, seq=1, type="outer_step", data={"run_equivalents": cost}, at=START + timedelta(seconds=at))
        for at, cost in steps
    ]
    moment = START + timedelta(seconds=now)
    assert seconds_left(job, log, attempts(*begun), moment) == (left if left is None else pytest.approx(left))
    assert seconds_left(job, log, attempts(*begun, ended=True), moment) is None
    for state in ("queued", "paused", "succeeded"):
        assert seconds_left(job.model_copy(update={"state": state}), log, attempts(*begun), moment) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "10 s"), (44, "40 s"), (56, "1 min"), (170, "3 min"), (3590, "1 h 0 min"), (7900, "2 h 10 min")],
)
def test_a_time_that_is_left_is_rounded(seconds, text):
    assert roughly(seconds) == text
