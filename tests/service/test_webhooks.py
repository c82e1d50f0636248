"""Webhooks from the transition of a job to a receiver on a real socket: signed, tried again, and to nowhere inside."""

import json
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import standardwebhooks
from sqlalchemy import text

from service.app import create_app
from service.serve import address, background, listen
from service.settings import ServiceSettings
from service.webhooks.sending import Line, deliver
from store import deliveries, jobs
from store.deliveries import Attempt
from windtunnel.types import JobSpec
from windtunnel.webhooks import InvalidSignature, sign, verify

LOOPBACK = "127.0.0.0/8,::1/128"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """An HTTP server on a thread. It answers as it was told, in order, then with 204, and keeps what came."""

    def __init__(self, *answers: int, context: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.came: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.may_answer = threading.Event()
        self.may_answer.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.came.put(({name.lower(): value for name, value in self.headers.items()}, body))
                receiver.may_answer.wait(30)
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                if status // 100 == 3:
                    self.send_header("location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                said = b"" if status == 204 else f"this is {status}\0".encode()
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?a=b"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def next(self) -> tuple[dict[str, str], bytes]:
        return self.came.get(timeout=20)

    def close(self) -> None:
        self.may_answer.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    """Makes receivers."""
    made: list[Receiver] = []

    def make(*answers: int, **more: object) -> Receiver:
        made.append(Receiver(*answers, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


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
        jobs.request_pause(session, strange)
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
            jobs.submit(session, JobSpec(task="digits"))
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
        (waits,) = deliveries.newest_first(session, hook["id"], 5)
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
        (delivery,) = deliveries.newest_first(session, hook["id"], 5)
        assert (delivery.state, delivery.attempts) == ("pending", 0) and deliveries.any_due(session)


# One attempt


def attempt(url: str) -> Attempt:
    return Attempt(
        "msg_1", 1, "hook_1", "ping", url, SECRET, '{"type":"ping","timestamp":"2026-01-01T00:00:00Z","data":{}}'
    )


def at(*addresses: str) -> Callable[..., list[object]]:
    """A resolver that knows one name's addresses."""

    def resolve(_host: str, port: int, **_: object) -> list[object]:
        families = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in addresses]
        return [(family, socket.SOCK_STREAM, 0, "", (each, port)) for family, each in zip(families, addresses, strict=True)]

    return resolve


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["203.0.114.9", "10.0.0.1"], ["8.8.8.8", "fd00::1"], ["0.0.0.0"], ["::1"], ["100.64.0.1"]],
)
def test_a_name_with_any_address_inside_is_refused_and_not_connected_to(addresses, receiver):
    inbox = receiver()
    outcome = deliver(attempt(f"http://inside.example:{inbox.port}/"), Line(5), resolve=at(*addresses))
    assert outcome.error.startswith("refused: inside.example has an address that is") and outcome.status is None
    assert addresses[-1] not in outcome.error and inbox.came.empty()


def test_the_name_is_looked_up_once_and_the_checked_address_is_the_one_connected_to(receiver):
    inbox, asked = receiver(), []

    def resolve(host: str, port: int, **more: object) -> list[object]:
        asked.append(host)
        return at("127.0.0.1" if len(asked) == 1 else "127.0.0.2")(host, port, **more)

    url = f"http://once.example:{inbox.port}/hook"
    outcome = deliver(
        attempt(url), Line(5), ServiceSettings(webhook_networks="127.0.0.1").webhook_networks, resolve=resolve
    )
    assert outcome.status == 204 and asked == ["once.example"]
    assert inbox.next()[0]["host"] == f"once.example:{inbox.port}"


def test_over_tls_the_certificate_must_be_that_of_the_name(tmp_path, receiver):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    wanted = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=hooks.example", "-addext", "subjectAltName=DNS:hooks.example"]
    command = ["openssl", "req", *wanted, *named, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    asked: list[str | None] = []
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    served.sni_callback = lambda _socket, name, _context: asked.append(name)
    inbox = receiver(context=served)
    trusting = ssl.create_default_context(cafile=certificate)
    allowed = ServiceSettings(webhook_networks=LOOPBACK).webhook_networks

    def send(host: str, context: ssl.SSLContext | None) -> object:
        url = f"https://{host}:{inbox.port}/"
        return deliver(attempt(url), Line(5), allowed, resolve=at("127.0.0.1"), context=context)

    assert send("hooks.example", trusting).status == 204
    assert inbox.next()[0]["host"] == f"hooks.example:{inbox.port}" and asked == ["hooks.example"]
    assert "TLS failed" in send("other.example", trusting).error
    assert "self-signed certificate" in send("hooks.example", None).error
    assert inbox.came.empty()


def test_an_answer_that_drips_ends_at_the_deadline():
    with listen("127.0.0.1", 0) as listener:
        listener.listen()
        stop = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-a: ")
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"a")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        allowed = ServiceSettings(webhook_networks=LOOPBACK).webhook_networks
        outcome = deliver(attempt(address(listener)), Line(0.4), allowed)
        assert time.monotonic() - began < 2
        stop.set()
        thread.join()
    assert outcome.error == "no answer within 0.4 s"


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "nowhere.invalid"])
def test_a_host_that_cannot_be_found_is_said(host):
    assert deliver(attempt(f"http://{host}/"), Line(5)).error.startswith("the host cannot be found: ")


def test_what_is_no_http_is_said():
    with listen("127.0.0.1", 0) as listener:
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        outcome = deliver(attempt(address(listener)), Line(5), ServiceSettings(webhook_networks=LOOPBACK).webhook_networks)
        thread.join()
    assert outcome.error == "the answer is no HTTP: BadStatusLine"


# Signatures


def test_the_signature_is_the_one_of_other_implementations():
    body = '{"test": 2432232314}'
    oracle = standardwebhooks.Webhook(SECRET)
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body.encode())
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    stamp = str(int(time.time()))
    headers = {"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": sign(SECRET, "m", int(stamp), b"{}")}
    assert oracle.verify("{}", headers) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"webhook-id": None}, "no header webhook-id"),
        ({"webhook-timestamp": "soon"}, "whole seconds"),
        ({"webhook-timestamp": "1000301"}, "301 s in the future"),
        ({"webhook-timestamp": "999699"}, "301 s old"),
        ({"webhook-timestamp": "1000001"}, "no signature"),
        ({"webhook-id": "msg_2"}, "no signature"),
        ({"webhook-signature": "v1,AAAA v2,xyz"}, "no signature"),
        ({"webhook-signature": "é"}, "no signature"),
    ],
)
def test_what_was_not_signed_so_is_not_believed(change, words):
    body = b'{"type": "ping", "timestamp": "2026-01-01T00:00:00Z", "data": {}}'
    good = {"Webhook-Id": "msg_1", "Webhook-Timestamp": "1000000"}
    good["Webhook-Signature"] = "v1,AAAA " + sign(SECRET, "msg_1", 1_000_000, body)
    assert verify(body, good, SECRET, now=1_000_000.0).type == "ping"
    with pytest.raises(InvalidSignature, match="no signature"):
        verify(body + b" ", good, SECRET, now=1_000_000.0)
    with pytest.raises(ValueError, match="whsec_"):
        verify(body, good, "whsec_", now=1_000_000.0)
    bad = {name.lower(): value for name, value in good.items()} | change
    with pytest.raises(InvalidSignature, match=words):
        verify(body, {name: value for name, value in bad.items() if value is not None}, SECRET, now=1_000_000.0)
