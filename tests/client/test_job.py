"""The job handle: following, waiting and their ends, against the real service and worker."""

import itertools

import pytest

from windtunnel import ConnectionFailed, JobCancelled, JobFailed, NotFinished, OuterStep, WaitTimeout


def test_follow_gives_every_outer_step_in_order_and_ends_with_the_job(client, small):
    job = client.jobs.create(small)
    steps = list(job.follow())
    assert [step.outer_step for step in steps] == [0, 1, 2]
    assert all(isinstance(step, OuterStep) for step in steps)
    assert job.refresh().state == "succeeded"
    assert job.best is not None
    assert f"best loss {job.result().best.validation.words} (on fresh seeds, " in repr(job)


def test_events_are_dense_and_the_same_when_read_later(client, finished):
    events = list(finished.events())
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[0].type == "queued"
    assert events[-1].type == "succeeded"
    assert list(finished.events(after=3)) == events[3:]
    assert list(finished.events(after=events[-1].seq)) == []


def test_wait_gives_the_result(finished):
    assert finished.wait(progress=False) == finished.result()
    assert finished.progress.fraction == 1
    assert finished.finished


def test_waiting_for_a_cancelled_job_raises(client, small):
    job = client.jobs.create(small | {"outer": {"steps": 500}})
    for step in job.follow():
        assert step.outer_step == 0
        break
    with pytest.raises(NotFinished, match="has no result yet"):
        job.result()
    job.cancel()
    with pytest.raises(JobCancelled, match=job.id):
        job.wait(timeout=60, progress=False)
    assert job.state == "cancelled"
    with pytest.raises(NotFinished, match="cancelled"):
        job.plan(width=64)


def test_waiting_for_a_failed_job_tells_why(script, scripted, job_json):
    failure = {"type": "diverged", "message": "every run diverged.", "hint": "Lower learning_rate."}
    script.answer(200, job_json).answer(200, job_json | {"state": "failed", "failure": failure})
    with pytest.raises(JobFailed, match=r"job_1 failed \(diverged\): every run diverged. Lower learning_rate.") as caught:
        scripted.jobs.get("job_1").wait(progress=False)
    assert caught.value.failure.type == "diverged"


def test_wait_ends_after_its_timeout_and_leaves_the_job_alone(script, scripted, job_json, time):
    script.answer(200, job_json)
    job = scripted.jobs.get("job_1")
    with pytest.raises(WaitTimeout, match="running after waiting 3 s"):
        job.wait(timeout=3, progress=False)
    assert sum(time.slept) == 3
    assert {seen.method for seen in script.requests} == {"GET"}
    with pytest.raises(TimeoutError):
        job.wait(timeout=0, progress=False)


def test_wait_outlives_a_server_restart(script, scripted, job_json, time):
    script.answer(200, job_json).answer(200, job_json)
    for _ in range(4):
        script.drop().problem(503)
    script.answer(200, job_json | {"state": "cancelled"})
    with pytest.raises(JobCancelled):
        scripted.jobs.get("job_1").wait(progress=False)


def test_the_timeout_of_wait_also_holds_while_the_server_is_away(script, scripted, job_json, time):
    script.answer(200, job_json).answer(200, job_json).drop()
    job = scripted.jobs.get("job_1")
    begin = time.now
    with pytest.raises(WaitTimeout):
        job.wait(timeout=20, progress=False)
    assert 20 <= time.now - begin < 25


def test_wait_gives_up_a_server_that_stays_away(script, scripted, job_json):
    script.answer(200, job_json).answer(200, job_json).drop()
    with pytest.raises(ConnectionFailed):
        scripted.jobs.get("job_1").wait(progress=False)


def test_watch_shows_the_job_until_it_has_ended(script, scripted, job_json, pacing, time):
    states = ["running", "running", "succeeded"]
    for state in ["queued", *states]:
        script.answer(200, job_json | {"state": state})
    watched = list(itertools.islice(scripted.jobs.get("job_1").watch(), 10))
    assert [wire.state for wire in watched] == states
    assert time.slept == [pacing.poll] * 2
