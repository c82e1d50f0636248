"""A failed job says where to look first, its bar is not that of success, and plans of one job are told apart."""

import pytest

from service.pages.causes import likely_causes
from store import leases
from tests.service.test_pages import page
from windtunnel.types import Failure, Job


def failed(work, kind, steps=0, **spec) -> str:
    lease = work.claim(work.queued(**spec))
    for number in range(steps):
        work.step(lease, number)
    with work.database.transaction() as session:
        leases.fail(session, lease, Failure(type=kind, message="it went wrong"))
    return lease.job_id


def causes(client, job_id, steps=(), attempts=()):
    return likely_causes(Job.model_validate(client.get(f"/v1/jobs/{job_id}").json()), steps, attempts)


def test_a_divergence_at_the_start_points_at_where_it_began(client, work):
    rate = {"optimizer": {"learning_rate": 0.9}}
    assert causes(client, failed(work, "diverged", **rate))[0][0] == "optimizer.learning_rate"
    told = causes(client, failed(work, "diverged", outer={"scout": False}, **rate))
    assert told[0][1].startswith("0.9,") and "outer.scout" in dict(told)


def test_a_divergence_on_the_way_points_at_the_largest_rate_and_at_ends_of_ranges(client, work):
    job_id = failed(work, "diverged", 2, search=[{"name": "weight_decay", "scope": "role", "high": 0.6}])
    told = causes(client, job_id, [work.outer_step(0), work.outer_step(1)])
    assert told[0] == ("learning_rate.output", "0.06 at outer step 1")
    assert dict(told)["weight_decay.output"] == "0.6, at the upper end of its range"
    assert "Where to look first" in page(client, f"/jobs/{job_id}").text


@pytest.mark.parametrize(("kind", "where"), [("out_of_memory", "inner.batch_size"), ("invalid_data", "task")])
def test_other_failures_point_at_their_part_of_the_spec(client, work, kind, where):
    assert where in dict(causes(client, failed(work, kind)))


def test_a_refusal_says_all_itself_and_success_has_no_cause(client, work):
    assert causes(client, failed(work, "refused")) == [] == causes(client, work.succeeded())
    assert "Where to look first" not in page(client, f"/jobs/{work.succeeded()}").text


def test_the_bar_of_a_failed_job_is_not_that_of_success(client, work):
    states = {failed(work, "diverged"): "failed", work.running().job_id: None}
    waiting = work.queued()
    client.post(f"/v1/jobs/{waiting}/pause")
    for job_id, state in (states | {waiting: "paused"}).items():
        bars = [attrs.get("class") for tag, attrs in page(client, f"/jobs/{job_id}").tags if tag == "progress"]
        assert bars == [state]
    # A job that succeeded has its verdict there.
    assert not [tag for tag, _ in page(client, f"/jobs/{work.succeeded()}").tags if tag == "progress"]
    assert {attrs.get("class") for tag, attrs in page(client, "/").tags if tag == "progress"} == {"failed", "paused", None}


def test_plans_of_one_job_are_told_apart_by_their_size_and_date(either, work_on_either):
    job_id = work_on_either.succeeded()
    for width, depth in ((1024, 3), (2048, 2)):
        assert (
            either.post(f"/v1/jobs/{job_id}/plans", json={"width": width, "depth": depth, "force": True}).status_code == 201
        )
    text = page(either, f"/jobs/{job_id}").text
    assert "Width 1,024, depth 3" in text and "Width 2,048, depth 2" in text and " UTC" in text
