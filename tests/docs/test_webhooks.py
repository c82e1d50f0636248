"""The receiver in docs/how-to/webhooks.md, run as it is written, gets what a real server signs and refuses a forgery."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.serve import background, listen
from service.settings import ServiceSettings
from store import schema

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md").read_text()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[httpx.Client]:
    networks = re.search(r"WINDTUNNEL_WEBHOOK_NETWORKS=(\S+) windtunnel serve", PAGE)[1]
    settings = ServiceSettings(data_dir=tmp_path, webhook_networks=networks, webhook_poll=0.05)
    schema.upgrade(settings.url)
    with background(create_app(settings)) as url, httpx.Client(base_url=url, timeout=10) as client:
        yield client


def test_the_receiver_takes_what_the_server_signed_and_nothing_else(server, tmp_path):
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/windtunnel"
    hook = server.post("/v1/webhooks", json={"url": url, "events": ["job.queued"]}).json()
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert "9000" in program
    source = program.replace("9000", str(port))
    environment = os.environ | {"WEBHOOK_SECRET": hook["secret"]}
    command = [sys.executable, "-c", source]
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                forged = httpx.post(url, json={"type": "ping"})
                break
            except httpx.ConnectError:
                assert receiver.poll() is None and time.monotonic() < end
                time.sleep(0.05)
        assert forged.status_code == 401 and "webhook-signature" in forged.reason_phrase
        job = server.post("/v1/jobs", json={"task": "digits"}).json()
        line = receiver.stdout.readline()
        assert line.startswith("job.queued {") and job["id"] in line
    finally:
        receiver.kill()
        receiver.wait()
        receiver.stdout.close()
