"""One attempt to deliver a webhook: to nowhere inside, over TLS to the one named, and to an end whatever answers."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from service.serve import address, listen
from service.settings import ServiceSettings
from service.webhooks.sending import Line, deliver
from store.deliveries import Attempt

LOOPBACK = "127.0.0.0/8,::1/128"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


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
