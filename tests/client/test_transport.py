"""Retries, timeouts, and what becomes of an answer that is not ours, against a scripted server on a real socket."""

import asyncio
import socket

import pytest

from windtunnel import (
    ApiError,
    AsyncClient,
    Client,
    ConnectionFailed,
    InvalidRequest,
    Pacing,
    RateLimited,
    ServerError,
    UnexpectedAnswer,
    ValidationFailed,
)

TASKS = {
    "items": [
        {
            "name": "digits",
            "title": "t",
            "features": 64,
            "classes": 10,
            "train_examples": 1,
            "validation_examples": 1,
            "test_examples": 1,
            "source": "s",
        }
    ]
}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_is_busy_is_tried_twice_again(script, scripted, time, status):
    script.problem(status).problem(status).answer(200, TASKS)
    assert [task.name for task in scripted.tasks()] == ["digits"]
    assert time.slept == [0.5, 1]


def test_after_two_retries_the_error_is_the_servers(script, scripted, time):
    script.problem(503)
    with pytest.raises(ServerError, match="refused with 503") as caught:
        scripted.tasks()
    assert caught.value.status == 503
    assert len(script.requests) == 3
    assert time.slept == [0.5, 1]


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
def test_other_refusals_are_not_tried_again(script, scripted, time, status):
    script.problem(status)
    with pytest.raises(ApiError):
        scripted.tasks()
    assert len(script.requests) == 1
    assert time.slept == []


def test_retry_after_is_obeyed(script, scripted, time):
    script.problem(429, Retry_After="7").answer(200, TASKS)
    scripted.tasks()
    assert time.slept == [7]


def test_a_retry_after_of_hours_is_an_error_at_once_that_tells_it(script, scripted, time):
    script.problem(429, Retry_After="7200")
    with pytest.raises(RateLimited) as caught:
        scripted.tasks()
    assert caught.value.retry_after == 7200
    assert time.slept == []


def test_a_broken_connection_is_tried_again(script, scripted, time):
    script.drop().drop().answer(200, TASKS)
    scripted.tasks()
    assert time.slept == [0.5, 1]


def test_a_connection_that_stays_broken_says_what_to_do(script, scripted):
    script.drop()
    with pytest.raises(ConnectionFailed, match="windtunnel serve") as caught:
        scripted.tasks()
    assert caught.value.url == script.url
    assert len(script.requests) == 3


def test_an_address_where_nobody_listens_says_what_to_do(pacing, time):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with Client(url, pacing=pacing) as client, pytest.raises(ConnectionFailed, match="windtunnel serve") as caught:
            client.tasks()
    assert url in str(caught.value)
    assert time.slept == [0.5, 1]


def test_a_server_that_is_silent_is_given_up_after_the_timeout(pacing):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with Client(url, timeout=0.05, pacing=pacing) as client, pytest.raises(ConnectionFailed, match=r"within 0\.05 s"):
            client.tasks()


def test_the_number_of_retries_can_be_chosen(script, time):
    script.problem(503)
    with Client(script.url, pacing=Pacing(retries=0, sleep=time.sleep)) as client, pytest.raises(ServerError):
        client.tasks()
    assert len(script.requests) == 1


def test_a_plan_is_not_asked_for_again_where_the_first_request_may_have_arrived(script, scripted, job_json):
    script.answer(200, job_json).drop()
    job = scripted.jobs.get("job_1")
    with pytest.raises(ConnectionFailed):
        job.plan(width=64)
    assert [seen.method for seen in script.requests] == ["GET", "POST"]
    script.steps.clear()
    script.problem(502)
    with pytest.raises(ServerError):
        job.plan(width=64)
    assert len(script.requests) == 3


def test_a_plan_is_asked_for_again_where_the_server_said_that_it_did_not_begin(script, scripted, job_json):
    script.answer(200, job_json).problem(503)
    job = scripted.jobs.get("job_1")
    with pytest.raises(ServerError):
        job.plan(width=64)
    assert len(script.requests) == 4


def test_another_program_on_the_port_is_recognised(script, scripted):
    script.answer(200, b"<html>hello</html>", Content_Type="text/html")
    with pytest.raises(UnexpectedAnswer, match="windtunnel server"):
        scripted.tasks()


def test_a_redirect_is_no_answer(script, scripted):
    script.answer(302, b"", Location="http://127.0.0.1:1/login")
    with pytest.raises(UnexpectedAnswer, match="302"):
        scripted.tasks()


def test_an_error_that_is_no_problem_document_is_told_as_it_is(script, scripted):
    script.answer(413, b"too much", Content_Type="text/plain")
    with pytest.raises(ApiError, match=r"413.*too much"):
        scripted.tasks()


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://localhost", "http://", "127.0.0.1", "http://[::1"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(InvalidRequest, match="server address"):
        Client(address)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_is_refused_before_it_is_sent(script, scripted, value):
    with pytest.raises(InvalidRequest, match="JSON"):
        scripted.jobs.create(task="digits", seed=value)
    assert script.requests == []


def test_an_empty_id_is_refused_before_it_is_sent(script, scripted):
    with pytest.raises(InvalidRequest, match="empty"):
        scripted.jobs.get("")
    assert script.requests == []


def test_an_id_cannot_leave_its_place_in_the_path(script, scripted):
    script.problem(404)
    with pytest.raises(ApiError):
        scripted.jobs.get("../tasks?x=1")
    assert script.requests[0].path == "/v1/jobs/..%2Ftasks%3Fx%3D1"


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(script, pacing, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    script.answer(200, TASKS)
    with Client(script.url, pacing=pacing) as client:
        assert client.tasks()


def test_bad_fields_come_as_a_list(script, scripted):
    errors = [{"pointer": "/model/width", "message": "width is -3; allowed: 4 to 8192", "given": -3}]
    script.answer(422, {"type": "invalid", "title": "t", "status": 422, "detail": "one field is wrong", "errors": errors})
    with pytest.raises(ValidationFailed, match="/model/width: width is -3") as caught:
        scripted.jobs.create(task="digits", model={"width": -3})
    assert [(error.pointer, error.given) for error in caught.value.errors] == [("/model/width", -3)]


def test_the_awaited_twin_tries_again_as_the_blocking_one_with_one_key(script, pacing, time, job_json):
    script.drop().problem(429, Retry_After="7").answer(201, job_json)

    async def submit() -> None:
        async with AsyncClient(script.url, pacing=pacing) as client:
            assert (await client.jobs.create(task="digits")).id == "job_1"

    asyncio.run(submit())
    assert time.slept == [0.5, 7]
    assert len({seen.headers["idempotency-key"] for seen in script.requests}) == 1
    assert len(script.requests) == 3
