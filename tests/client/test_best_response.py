"""A best-response job through server, worker and client: schedule, quality, figures, page, plan."""

import httpx
import pytest

from windtunnel import InvalidRequest, ValidationFailed
from windtunnel.types.estimators import RESPONSE_SETTINGS

SPEC = {
    "task": "digits",
    "model": {"width": 16, "depth": 1},
    "inner": {"steps": 24, "batch_size": 32, "seeds": 2},
    "outer": {"steps": 2, "finish_seeds": 2},
    "search": [{"name": "dropout"}, {"name": "label_smoothing"}],
    "method": {"estimator": "delta_stn"},
    "transfer": {"noise_scale": False},
}


@pytest.fixture(scope="module")
def job(client):
    job = client.jobs.create(SPEC, idempotency_key="responded")
    job.wait(timeout=120, progress=False)
    return job


@pytest.fixture(scope="module")
def result(job):
    return job.result()


def test_the_result_has_schedule_comparison_and_quality(result):
    report = result.best_response
    assert report.estimator == "delta_stn" and set(report.schedule.values) == {"dropout", "label_smoothing"}
    assert report.comparison.seeds == 2 and len(report.quality) == 5
    assert "schedule replayed: test loss lower by" in repr(result)
    assert all(step.arm == "response" for step in result.steps())


def test_both_figures_show_what_the_report_says(result):
    drawn = result.plot("regularisers")
    lines = [trace.y for trace in drawn.data]
    assert [list(line) for line in lines] == list(result.best_response.schedule.values.values())
    own, *others = result.best_response.quality
    (_, points) = result.plot("response").data
    assert list(points.x) == [point.predicted - own.predicted for point in others]
    assert list(points.y) == [point.retrained - own.retrained for point in others]


def test_a_job_without_one_says_how_to_get_one(finished):
    with pytest.raises(InvalidRequest, match=r"method\.estimator 'delta_stn' does"):
        finished.result().plot("response")


def test_the_page_shows_schedule_quality_and_certificate(service, job):
    with httpx.Client(base_url=service) as browser:
        page = browser.get(f"/jobs/{job.id}").text
        figures = {name: browser.get(f"/jobs/{job.id}/figures/{name}.json") for name in ("regularisers", "response")}
    for words in ("Schedule replayed", "Last values held", "After training again", "all +0.5", "through the response"):
        assert words in page, words
    assert all(answer.json()["data"] for answer in figures.values())


def test_the_plan_carries_the_schedule_as_factors(result):
    plan = result.plan(width=32, force=True)
    knots, tuned = plan.regulariser_schedule, result.hyperparameters
    for label, values in result.best_response.schedule.values.items():
        assert knots.factors[label] == pytest.approx([value / tuned[label] for value in values])
    assert any("Schedule of the regularisers" in item for item in plan.in_your_loop)


def test_the_catalogue_lists_both_with_the_schema_of_their_settings(client):
    listed = {each.name: each for each in client.estimators()}
    for name in ("stn", "delta_stn"):
        assert set(listed[name].can) == {"l2", "dropout", "label_smoothing", "input_noise", "augmentation"}
        assert {"learning_rate", "weight_decay"} <= set(listed[name].cannot) and listed[name].why
        assert set(RESPONSE_SETTINGS) <= set(listed[name].settings)


def test_a_learning_rate_is_refused_by_name_with_reverse_on_offer(client):
    with pytest.raises(ValidationFailed, match=r"learning_rate.*reverse") as refused:
        client.jobs.create({**SPEC, "search": [{"name": "dropout"}, {"name": "learning_rate"}]})
    assert refused.value.errors[0].pointer == "/search/1/name"
