"""Webhooks from the transition of a job to a receiver on a real socket: signed, tried again, and to nowhere inside."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import standardwebhooks
from sqlalchemy import text

from service.app import create_app
from service.serve import address, background, listen
from service.settings import ServiceSettings
from store import deliveries, jobs
from store.keys import LOCAL
from windtunnel.types import JobSpec
from windtunnel.webhooks import verify

LOOPBACK = "127.0.0.0/8,::1/128"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    """A server whose webhooks may go to this machine, and that tries again soon."""
    return ServiceSettings(data_dir=tmp_path, webhook_networks=LOOPBACK, webhook_poll=0.05, webhook_retry=0.02)


def made(client: httpx.Client, url: str, *events: str) -> dict[str, object]:
    answer = client.post("/v1/webhooks", json={"url": url} | ({"events": events} if events else {}))
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/webhooks/{answer.json()['id']}"
    return answer.json()


def ended(client: httpx.Client, webhook_id: object) -> list[dict[str, object]]:
    """The deliveries of a webhook once none of them waits, newest first."""
    end = time.monotonic() + 20
    while True:
        found = client.get(f"/v1/webhooks/{webhook_id}").json()["deliveries"]
        if found and all(each["state"] != "pending" for each in found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


def test_the_end_of_a_job_arrives_signed(either, work_on_either, receiver):
    inbox = receiver()
    hook = made(either, inbox.url)
    assert hook["secret"].startswith("whsec_") and hook["events"] == ["job.succeeded", "job.failed", "job.cancelled"]
    job_id = work_on_either.succeeded(name="flight é ✈")
    headers, body = inbox.next()
    message = verify(body, headers, hook["secret"])
    assert message.type == "job.succeeded"
    assert {name: message.data[name] for name in ("job_id", "name", "task", "state", "seq")} == {
        "job_id": job_id,
        "name": "flight é ✈",
        "task": "digits",
        "state": "succeeded",
        "seq": 5,
    }
    assert message.data["details"]["validation"]["mean"] == 0.25
    # Another implementation of the same specification reads it alike.
    assert standardwebhooks.Webhook(hook["secret"]).verify(body, headers)["data"] == message.data
    assert headers["host"] == f"127.0.0.1:{inbox.port}" and headers["content-type"] == "application/json"
    (delivery,) = ended(either, hook["id"])
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 1, 204)
    assert delivery["id"] == headers["webhook-id"] and delivery["error"] is None
    assert inbox.came.empty()
    assert hook["secret"] not in either.get("/v1/webhooks").text + either.get(f"/v1/webhooks/{hook['id']}").text


def test_a_receiver_that_fails_twice_gets_it_the_third_time_under_the_same_id(either, work_on_either, receiver):
    inbox = receiver(500, 503)
    hook = made(either, inbox.url, "job.cancelled")
    job_id = work_on_either.queued()
    either.post(f"/v1/jobs/{job_id}/cancel")
    came = [inbox.next() for _ in range(3)]
    assert len({headers["webhook-id"] for headers, _ in came}) == len({body for _, body in came}) == 1
    assert all(verify(body, headers, hook["secret"]).data["state"] == "cancelled" for headers, body in came)
    (delivery,) = ended(either, hook["id"])
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 3, 204)


def test_it_is_given_up_after_the_last_attempt_and_the_last_answer_can_be_read(sqlite, tmp_path, work, receiver):
    inbox = receiver(500, 500, 500)
    patient = ServiceSettings(
        data_dir=tmp_path, webhook_networks=LOOPBACK, webhook_poll=0.05, webhook_retry=0.02, webhook_attempts=2
    )
    with background(create_app(patient, database=sqlite)) as url, httpx.Client(base_url=url, timeout=10) as client:
        hook = made(client, inbox.url, "job.queued")
        work.queued()
        (delivery,) = ended(client, hook["id"])
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("failed", 2, 500)
    assert delivery["answer"] == "this is 500\ufffd" and delivery["error"] == "answered 500"
    assert delivery["next_attempt_at"] is None and delivery["ended_at"] is not None


def test_a_receiver_that_is_gone_is_left_alone(client, work, receiver):
    inbox = receiver(410)
    hook = made(client, inbox.url, "job.queued")
    work.queued()
    (delivery,) = ended(client, hook["id"])
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("failed", 1, 410)


def test_a_redirect_is_not_followed(client, receiver):
    inbox = receiver(302)
    hook = made(client, inbox.url)
    ping = client.post(f"/v1/webhooks/{hook['id']}/ping")
    assert ping.status_code == 202 and (ping.json()["type"], ping.json()["state"]) == ("ping", "pending")
    (delivery,) = ended(client, hook["id"])
    assert delivery["id"] == ping.json()["id"]
    assert (delivery["state"], delivery["status"]) == ("failed", 302) and "redirects are not followed" in delivery["error"]
    headers, body = inbox.next()
    assert verify(body, headers, hook["secret"]).data == {"webhook_id": hook["id"], "name": ""}
    assert inbox.came.empty()


def test_a_ping_is_tried_once_and_nobody_listening_is_said(client):
    with listen("127.0.0.1", 0) as free:
        url = address(free)
    hook = made(client, url)
    client.post(f"/v1/webhooks/{hook['id']}/ping")
    (delivery,) = ended(client, hook["id"])
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("failed", 1, None)
    assert "Connection refused" in delivery["error"]


def test_only_what_is_asked_for_is_sent_and_only_of_ones_own_jobs(sqlite, client, work, receiver):
    inbox = receiver()
    hook = made(client, inbox.url, "job.paused", "job.resumed")
    with sqlite.transaction() as session:
        strange = jobs.submit(session, JobSpec(task="digits"), owner="stranger").id
        jobs.request_pause(session, strange, owner="stranger")
    job_id = work.queued()
    client.post(f"/v1/jobs/{job_id}/pause")
    client.post(f"/v1/jobs/{job_id}/resume")
    client.post(f"/v1/jobs/{job_id}/cancel")
    found = ended(client, hook["id"])
    assert [each["type"] for each in found] == ["job.resumed", "job.paused"]
    assert {json.loads(inbox.next()[1])["data"]["job_id"] for _ in found} == {job_id}


def test_a_transaction_that_fails_sends_nothing(either, database, work_on_either, receiver):
    hook = made(either, receiver().url, "job.queued")

    class ChangedMind(Exception): ...

    def fail() -> None:
        with database.transaction() as session:
            jobs.submit(session, JobSpec(task="digits"), owner=LOCAL)
            assert deliveries.any_due(session)
            raise ChangedMind

    with pytest.raises(ChangedMind):
        fail()
    assert either.get(f"/v1/webhooks/{hook['id']}").json()["deliveries"] == []


def test_a_deleted_webhook_gets_nothing_more(either, database, work_on_either, receiver):
    inbox = receiver(500)
    hook = made(either, inbox.url, "job.queued")
    with database.transaction() as session:
        session.execute(text("UPDATE webhooks SET url = 'http://127.0.0.1:9/'"))
    work_on_either.queued()
    assert either.delete(f"/v1/webhooks/{hook['id']}").status_code == 204
    assert either.get(f"/v1/webhooks/{hook['id']}").status_code == 404
    with database.snapshot() as session:
        assert session.execute(text("SELECT count(*) FROM webhook_deliveries")).scalar() == 0
    work_on_either.queued()


def test_an_owner_has_no_more_webhooks_than_the_limit(sqlite, tmp_path):
    settings = ServiceSettings(data_dir=tmp_path, max_webhooks=1)
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url) as client:
        made(client, "https://example.com/")
        refused = client.post("/v1/webhooks", json={"url": "https://example.com/"})
    assert (refused.status_code, refused.json()["type"]) == (403, "quota")
    assert "1 webhooks; allowed: 1" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"url": "http://127.0.0.1/"}, "/url", "loopback"),
        ({"url": "http://127.1:8000/"}, "/url", "127.0.0.1, which is loopback"),
        ({"url": "http://2130706433/"}, "/url", "127.0.0.1, which is loopback"),
        ({"url": "http://localhost/"}, "/url", "loopback"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "/url", "private"),
        ({"url": "http://169.254.169.254/latest"}, "/url", "link-local"),
        ({"url": "http://[fe80::1]/"}, "/url", "link-local"),
        ({"url": "ftp://example.com/"}, "/url", "http"),
        ({"url": "https://ann:secret@example.com/"}, "/url", "user name"),
        ({"url": "https://example.com/#here"}, "/url", "fragment"),
        ({"url": "https://example.com/" + "a" * 2000}, "/url", "at most 2,000"),
        (
            {"url": "https://example.com/", "events": ["job.done"]},
            "/events/0",
            "cannot be 'job.done'; allowed: 'job.queued'",
        ),
        ({"url": "https://example.com/", "events": ["job.failed", "job.failed"]}, "/events", "twice"),
        ({"url": "https://example.com/", "events": []}, "/events", "0 items"),
        ({}, "/url", "required"),
    ],
)
def test_what_cannot_be_a_webhook_is_refused(strict_client, body, pointer, words):
    answer = strict_client.post("/v1/webhooks", json=body)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer and words in error["message"]


@pytest.fixture(scope="module")
def strict_client(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[httpx.Client]:
    """A server as it is out of the box, for requests that change nothing."""
    settings = ServiceSettings(data_dir=tmp_path_factory.mktemp("strict"), database_url=f"sqlite:///{sqlite_template}")
    with background(create_app(settings)) as url, httpx.Client(base_url=url) as client:
        yield client


def answers(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    """Return once the server does."""
    end = time.monotonic() + 30
    while True:
        assert server.poll() is None and time.monotonic() < end
        try:
            client.get("/healthz")
        except httpx.ConnectError:
            time.sleep(0.02)
        else:
            return


def test_a_server_killed_between_the_transition_and_the_delivery_still_delivers(sqlite, sqlite_url, settings, receiver):
    inbox = receiver()
    inbox.may_answer.clear()
    with listen("127.0.0.1", 0) as free:
        url, port = address(free), free.getsockname()[1]
    program = (
        "from service.serve import run; from service.settings import ServiceSettings;"
        f"run(ServiceSettings(database_url={sqlite_url!r}, port={port}, webhook_networks={LOOPBACK!r}, webhook_poll=0.05))"
    )
    server = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    try:
        with httpx.Client(base_url=url, timeout=10) as client:
            answers(client, server)
            hook = made(client, inbox.url, "job.queued")
            client.post("/v1/jobs", json={"task": "digits"})
        first, _ = inbox.next()
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
        server.stderr.close()
    with sqlite.snapshot() as session:
        (waits,) = deliveries.newest_first(session, hook["id"], 5, owner=LOCAL)
        assert waits.state == "pending" and not deliveries.any_due(session)
    with sqlite.transaction() as session:  # in place of the minute after which the attempt counts as lost
        session.execute(text("UPDATE webhook_deliveries SET next_attempt_at = 0"))
    inbox.may_answer.set()
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url) as client:
        again, body = inbox.next()
        assert again["webhook-id"] == first["webhook-id"] and verify(body, again, hook["secret"]).type == "job.queued"
        (delivery,) = ended(client, hook["id"])
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)


def test_a_server_that_stops_gives_back_what_it_was_sending(sqlite, settings, work, receiver):
    inbox = receiver()
    inbox.may_answer.clear()
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url) as client:
        hook = made(client, inbox.url, "job.queued")
        work.queued()
        inbox.next()
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
    with sqlite.snapshot() as session:
        (delivery,) = deliveries.newest_first(session, hook["id"], 5, owner=LOCAL)
        assert (delivery.state, delivery.attempts) == ("pending", 0) and deliveries.any_due(session)
