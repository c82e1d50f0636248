"""The event stream: exact replay, live, and an end."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
from sqlalchemy import text

from service.app import create_app
from service.jobs import events as stream_module
from service.serve import background
from store import jobs
from windtunnel.types import JobSpec

SSE = {"accept": "text/event-stream"}


def frames(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The events of a stream, field by field."""
    frame: dict[str, str] = {}
    for line in lines:
        if line == "" and frame.get("data"):
            yield frame
            frame = {}
        elif ": " in line:
            name, _, value = line.partition(": ")
            frame[name] = value


def read(client, job_id, headers=None) -> list[dict[str, str]]:
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers={**SSE, **(headers or {})}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(frames(answer.iter_lines()))


def test_stream_of_an_ended_job_replays_everything_once_and_ends(client, work):
    found = read(client, work.succeeded())
    assert [frame["event"] for frame in found] == ["queued", "started", "outer_step", "outer_step", "succeeded"]
    assert [frame["id"] for frame in found] == ["1", "2", "3", "4", "5"]
    assert json.loads(found[2]["data"])["data"]["loss"] == 1.0


def test_last_event_id_replays_exactly_what_came_after(client, work):
    job_id = work.succeeded()
    assert [frame["id"] for frame in read(client, job_id, {"Last-Event-ID": "3"})] == ["4", "5"]
    assert read(client, job_id, {"Last-Event-ID": "5"}) == []


def test_stream_of_more_events_than_one_batch_is_complete(client, work, monkeypatch):
    monkeypatch.setattr(stream_module, "BATCH", 2)
    assert [frame["id"] for frame in read(client, work.succeeded())] == ["1", "2", "3", "4", "5"]


def test_last_event_id_that_is_no_number_is_refused(client, work):
    answer = client.get(f"/v1/jobs/{work.queued()}/events", headers={**SSE, "Last-Event-ID": "-1"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/Last-Event-ID"


def test_stream_follows_a_job_live_until_it_ends(client, work):
    job_id = work.queued()
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=SSE) as answer:
        found = frames(answer.iter_lines())
        assert next(found)["event"] == "queued"
        lease = work.claim(job_id)
        assert next(found)["event"] == "started"
        work.step(lease, 0)
        assert next(found)["event"] == "outer_step"
        work.succeed(lease)
        assert [frame["event"] for frame in found] == ["succeeded"]


def test_silent_stream_is_kept_alive_by_comments(client, work, monkeypatch):
    monkeypatch.setattr(stream_module, "KEEPALIVE_SECONDS", 0.0)
    with client.stream("GET", f"/v1/jobs/{work.queued()}/events", headers=SSE) as answer:
        assert any(line.startswith(":") for line in answer.iter_lines())


def test_json_is_given_to_those_who_ask_for_it(client, work):
    job_id = work.succeeded()
    ask = {"accept": "application/json"}
    items = client.get(f"/v1/jobs/{job_id}/events?after=1&limit=2", headers=ask).json()["items"]
    assert [(event["seq"], event["type"]) for event in items] == [(2, "started"), (3, "outer_step")]
    assert client.get(f"/v1/jobs/{job_id}/events?after=5", headers=ask).json() == {"items": []}


def test_stream_stops_looking_when_its_reader_has_gone(client, work, monkeypatch):
    looks = threading.Event()
    real = stream_module._look

    def look(*arguments):
        looks.set()
        return real(*arguments)

    monkeypatch.setattr(stream_module, "_look", look)
    url = urlsplit(str(client.base_url))
    with socket.create_connection((url.hostname, url.port), timeout=10) as raw:
        raw.sendall(f"GET /v1/jobs/{work.queued()}/events HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        assert looks.wait(10)
    deadline = time.monotonic() + 10
    # Two polls (0.02 s each) without a look mean that the stream has ended.
    while looks.is_set():
        assert time.monotonic() < deadline
        looks.clear()
        looks.wait(0.3)


def test_open_streams_end_at_once_when_the_server_stops(sqlite, settings, work):
    job_id = work.queued()
    with httpx.Client(timeout=10) as client:
        with background(create_app(settings, database=sqlite)) as url:
            request = client.build_request("GET", f"{url}/v1/jobs/{job_id}/events", headers=SSE)
            answer = client.send(request, stream=True)
            found = frames(answer.iter_lines())
            assert next(found)["event"] == "queued"
            began = time.monotonic()
        assert time.monotonic() - began < 3
        assert list(found) == []
        answer.close()


def test_reader_that_connects_again_to_a_restarted_server_misses_nothing(sqlite, settings, work):
    lease = work.running()
    seen = []
    for _ in range(2):
        with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url, timeout=10) as client:
            headers = {**SSE, "Last-Event-ID": seen[-1] if seen else "0"}
            with client.stream("GET", f"/v1/jobs/{lease.job_id}/events", headers=headers) as answer:
                found = frames(answer.iter_lines())
                seen.append(next(found)["id"])
                seen.append(next(found)["id"])
    assert seen == ["1", "2", "3", "4"]


def test_a_stream_ends_in_order_when_the_database_goes_away_and_is_refused_until_it_is_back(sqlite, settings, work):
    lease = work.running()
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url, timeout=10) as client:
        with client.stream("GET", f"/v1/jobs/{lease.job_id}/events", headers=SSE) as answer:
            lines = answer.iter_lines()
            received = frames(lines)
            seen = [int(next(received)["id"]) for _ in range(4)]
            with sqlite.transaction() as session:
                session.execute(text("ALTER TABLE jobs RENAME TO elsewhere"))
            assert list(received) == []
        refused = client.get(f"/v1/jobs/{lease.job_id}/events", headers=SSE)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        with sqlite.transaction() as session:
            session.execute(text("ALTER TABLE elsewhere RENAME TO jobs"))
        work.succeed(lease)
        headers = SSE | {"last-event-id": str(seen[-1])}
        with client.stream("GET", f"/v1/jobs/{lease.job_id}/events", headers=headers) as answer:
            assert [int(frame["id"]) for frame in frames(answer.iter_lines())] == [seen[-1] + 1]


def test_changes_tell_which_of_the_viewers_jobs_changed_and_of_no_other(client, work, sqlite):
    other = work.queued()
    with client.stream("GET", "/changes") as answer:
        lines = answer.iter_lines()
        assert "retry: 1000" in lines
        time.sleep(0.2)  # the first look is what later ones are held against
        with sqlite.transaction() as session:
            jobs.submit(session, JobSpec(task="digits"), owner="bob")
        made = work.queued()
        client.post(f"/v1/jobs/{other}/pause")
        told = [next(line for line in lines if line.startswith("data: ")) for _ in range(2)]
        assert {line.removeprefix("data: ") for line in told} == {made, other}
        client.post(f"/v1/jobs/{made}/cancel")
        assert next(line for line in lines if line.startswith("data: ")) == f"data: {made}"
