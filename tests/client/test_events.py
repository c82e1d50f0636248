"""Following a job through broken connections and restarts, against a scripted server on a real socket."""

import asyncio
import json

import pytest

from windtunnel import AsyncClient, ConnectionFailed, NotFound, UnexpectedAnswer


def event(seq: int, kind: str = "outer_step") -> str:
    body = {"job_id": "job_1", "seq": seq, "type": kind, "data": {}, "at": "2026-01-01T00:00:00Z"}
    return f"id: {seq}\nevent: {kind}\ndata: {json.dumps(body)}\n\n"


@pytest.fixture
def job(script, scripted, job_json):
    """A handle on the scripted job."""
    script.answer(200, job_json)
    handle = scripted.jobs.get("job_1")
    script.steps.clear()
    script.requests.clear()
    return handle


def seqs(events):
    return [event.seq for event in events]


def test_a_stream_that_breaks_in_the_middle_of_an_event_is_resumed_after_the_last_whole_one(script, job, time):
    script.stream("retry: 1000\n\n", event(1, "queued") + event(2), event(3)[:30], complete=False)
    script.stream(event(3), event(4, "succeeded"), complete=True)
    assert seqs(job.events()) == [1, 2, 3, 4]
    assert [seen.headers["last-event-id"] for seen in script.requests] == ["0", "2"]
    assert time.slept == [0.5]


def test_what_is_sent_twice_is_told_once(script, job):
    script.stream(event(1) + event(2), complete=False)
    script.stream(event(1) + event(2) + event(3) + event(4, "failed"), complete=True)
    assert seqs(job.events()) == [1, 2, 3, 4]


def test_a_server_that_restarts_is_waited_for(script, job, time):
    script.stream(event(1), complete=False)
    for _ in range(4):
        script.drop()
    script.problem(503)
    script.stream(event(2, "cancelled"), complete=True)
    assert seqs(job.events()) == [1, 2]
    assert len(script.requests) == 7


def test_a_server_that_shuts_down_in_order_is_waited_for(script, job, job_json):
    script.stream(event(1), complete=True)
    script.answer(200, job_json)
    script.stream(event(2, "succeeded"), complete=True)
    assert seqs(job.events()) == [1, 2]


def test_a_server_that_does_not_come_back_is_given_up_in_the_end(script, job, time, pacing):
    script.stream(event(1), complete=False).drop()
    begin = time.now
    with pytest.raises(ConnectionFailed):
        list(job.events())
    assert pacing.patience < time.now - begin < 2 * pacing.patience


def test_a_server_that_never_answered_is_given_up_at_once(script, job, time):
    script.drop()
    with pytest.raises(ConnectionFailed):
        list(job.events())
    assert time.slept == [0.5, 1]


def test_an_unknown_job_is_an_error_not_a_reason_to_wait(script, job, time):
    script.problem(404)
    with pytest.raises(NotFound):
        list(job.events())
    assert time.slept == []


def test_asking_for_what_comes_after_the_end_ends(script, job, job_json):
    script.stream(complete=True)
    script.answer(200, job_json | {"state": "succeeded"})
    script.answer(200, {"items": []})
    assert seqs(job.events(after=9)) == []
    assert script.requests[0].headers["last-event-id"] == "9"
    assert "after=9" in script.requests[2].path


def test_a_reader_who_stops_early_closes_the_stream(script, job):
    script.stream(event(1), event(2), complete=False)
    events = job.events()
    assert next(events).seq == 1
    events.close()
    assert len(script.requests) == 1


def test_an_awaiting_reader_who_stops_early_closes_the_stream_and_the_server_sees_it(script, pacing, job_json):
    script.answer(200, job_json)
    script.stream(event(1, "queued"), event(2, "started"), complete=False)

    async def look() -> int:
        async with AsyncClient(script.url, pacing=pacing) as client:
            events = (await client.jobs.get("job_1")).events()
            first = await anext(events)
            await events.aclose()
            assert not client._transport._http._transport._pool.connections
            return first.seq

    assert asyncio.run(look(), debug=True) == 1
    assert len(script.requests) == 2


def test_a_stream_of_something_else_is_recognised(script, job):
    script.stream("data: hello\n\n", complete=True)
    with pytest.raises(UnexpectedAnswer, match="event stream of job_1"):
        list(job.events())


def test_follow_gives_the_outer_steps_only(script, job):
    step = {
        "outer_step": 0,
        "outer_steps": 2,
        "loss": 1.5,
        "stderr": 0.1,
        "seeds": 2,
        "dropped_members": 0,
        "hyperparameters": {"learning_rate": 0.1},
        "gradient": {},
        "gradient_norm": None,
        "bounded_share": None,
        "mean_scale": None,
        "step_length": 0.0,
        "moved": False,
        "rolled_back": False,
        "run_equivalents": 1.0,
    }
    body = {"job_id": "job_1", "seq": 2, "type": "outer_step", "data": step, "at": "2026-01-01T00:00:00Z"}
    script.stream(event(1, "queued"), f"data: {json.dumps(body)}\n\n", event(3, "succeeded"), complete=True)
    assert [(step.outer_step, step.loss) for step in job.follow()] == [(0, 1.5)]
