"""The server as a process: it takes its port, says so when it cannot, and ends well on a signal."""

import signal
import socket
import statistics
import subprocess
import sys
import time

import httpx
import pytest

from service.serve import AddressUnavailableError, address, listen, run
from service.settings import ServiceSettings


def test_taken_port_is_named_with_the_way_out(tmp_path):
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailableError, match=rf"port {port}.*--port or WINDTUNNEL_PORT"):
            run(ServiceSettings(data_dir=tmp_path, port=port))


def test_port_zero_takes_a_free_one():
    with listen("localhost", 0) as listener:
        assert address(listener).startswith("http://")
        assert not address(listener).endswith(":0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_server_with_exit_code_0_and_its_streams_at_once(sqlite_url, work, number):
    job_id = work.queued()
    with listen("127.0.0.1", 0) as free:
        url, port = address(free), free.getsockname()[1]
    program = (
        "from service.serve import run; from service.settings import ServiceSettings;"
        f"run(ServiceSettings(database_url={sqlite_url!r}, port={port}))"
    )
    server = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    try:
        _wait_until_it_answers(url, server)
        with httpx.stream("GET", f"{url}/v1/jobs/{job_id}/events", timeout=10) as answer:
            lines = answer.iter_lines()
            assert "event: queued" in lines
            server.send_signal(number)
            began = time.monotonic()
            for _ in lines:
                pass
        assert server.wait(timeout=10) == 0
        assert time.monotonic() - began < 4
        assert server.stderr.read() == b""
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


def _wait_until_it_answers(url: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, server.stderr.read().decode()
        try:
            httpx.get(f"{url}/healthz")
        except httpx.ConnectError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"no answer from {url}")


def test_server_holds_no_tensor():
    program = "import sys, service.serve; print(sorted({'torch', 'workers', 'higher'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_answers_of_a_connection_that_is_kept_open_are_not_held_back(host):
    with listen(host, 0) as listener:
        # asyncio sets TCP_NODELAY on the connections of such a socket alone.
        assert listener.proto == socket.IPPROTO_TCP


def test_an_answer_on_an_open_connection_takes_milliseconds(client):
    client.get("/healthz")
    waits = []
    for _ in range(30):
        began = time.monotonic()
        client.get("/healthz")
        waits.append(time.monotonic() - began)
    assert statistics.median(waits) < 0.03  # the kernel's delay was 0.044
