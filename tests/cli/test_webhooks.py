"""``windtunnel webhooks`` against a real server and a real receiver: made, pinged, shown, deleted, with exit codes."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import schema
from windtunnel.cli.exits import ExitCode
from windtunnel.webhooks import verify


class Receiver(BaseHTTPRequestHandler):
    """Answers with the status that the path names, and keeps what came."""

    came: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        type(self).came.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(int(self.path[1:]))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    """Its address."""
    Receiver.came = []
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def sending(tmp_path_factory) -> Iterator[str]:
    """Address of a service whose webhooks may go to this machine."""
    settings = ServiceSettings(
        data_dir=tmp_path_factory.mktemp("sending"), webhook_networks="127.0.0.0/8", webhook_poll=0.05
    )
    schema.upgrade(settings.url)
    with background(create_app(settings)) as url:
        yield url


@pytest.fixture
def webhooks(run, sending, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_URL", sending)
    return lambda *arguments: run("webhooks", *arguments)


def test_add_list_ping_show_remove(webhooks, receiver):
    made = webhooks("add", f"{receiver}/204", "--event", "job.failed", "--name", "chat [red]")
    secret, hook = made.stdout.strip(), made.stderr.split()[0]
    assert made.exit_code == 0 and secret.startswith("whsec_") and "job.failed" in made.stderr
    listed = webhooks("list")
    assert hook in listed.stdout and "chat [red]" in listed.stdout and secret not in listed.stdout
    assert "nothing was sent yet" in webhooks("show", hook).stdout
    pinged = webhooks("ping", hook)
    assert (pinged.exit_code, pinged.stderr.split(": ")[1]) == (0, "delivered, answered 204\n")
    headers, body = Receiver.came[-1]
    assert verify(body, headers, secret).type == "ping"
    assert "delivered, answered 204" in webhooks("show", hook).stdout
    assert json.loads(webhooks("show", hook, "--json").stdout)["deliveries"][0]["state"] == "delivered"
    assert webhooks("remove", hook).exit_code == 0
    assert json.loads(webhooks("list", "--json").stdout) == [] and "no webhooks" in webhooks("list").stderr
    assert webhooks("show", hook).exit_code == ExitCode.REFUSED


def test_a_ping_that_does_not_arrive_ends_in_a_code_and_a_reason(webhooks, receiver):
    hook = json.loads(webhooks("add", f"{receiver}/500", "--json").stdout)["id"]
    failed = webhooks("ping", hook)
    assert failed.exit_code == ExitCode.NEGATIVE and "not delivered: answered 500" in failed.stderr
    hasty = webhooks("ping", hook, "--timeout", "0", "--json")
    assert hasty.exit_code == ExitCode.TIMEOUT and json.loads(hasty.stdout)["state"] == "pending"
    webhooks("remove", hook)


def test_what_cannot_be_a_webhook_is_told(webhooks):
    private = webhooks("add", "http://10.0.0.1/")
    assert private.exit_code == ExitCode.USAGE and "/url" in private.stderr and "private" in private.stderr
    unknown = webhooks("add", "https://example.com/", "--event", "job.done")
    assert unknown.exit_code == ExitCode.USAGE and "job.succeeded" in unknown.stderr
