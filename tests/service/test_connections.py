"""Half-sent requests end in time, connections beyond the limit are refused, and neither fills the log."""

import logging
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store.database import Database

QUICK = {"header_seconds": 0.3, "body_seconds": 0.3}


@pytest.fixture
def quick(sqlite: Database, settings: ServiceSettings) -> Iterator[httpx.Client]:
    """A server without patience, and with room for eight connections."""
    small = settings.model_copy(update={**QUICK, "max_connections": 8})
    with background(create_app(small, database=sqlite)) as url, httpx.Client(base_url=url, timeout=10) as client:
        yield client


def connect(client: httpx.Client) -> socket.socket:
    place = urlsplit(str(client.base_url))
    made = socket.create_connection((place.hostname, place.port))
    made.settimeout(10)
    return made


def read(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    came = b""
    try:
        while more := connection.recv(65_536):
            came += more
    except ConnectionResetError:
        pass
    return came


HEAD = b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n"


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"GET /v1/jobs HTTP/1.1\r\nhost: loc", HEAD, HEAD + b"\r\n", HEAD + b'\r\n{"task": "dig'],
    ids=["nothing", "a letter", "half a header", "no end", "no body", "half a body"],
)
def test_a_request_that_stops_halfway_is_ended(quick: httpx.Client, sent: bytes) -> None:
    with connect(quick) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        assert read(connection).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 3


def test_a_header_that_comes_byte_by_byte_is_ended_all_the_same(quick: httpx.Client) -> None:
    with connect(quick) as connection:
        began = time.monotonic()
        for byte in b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 200:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                break
            time.sleep(0.02)
        assert time.monotonic() - began < 2


def test_a_body_that_comes_byte_by_byte_is_ended_all_the_same(quick: httpx.Client) -> None:
    with connect(quick) as connection:
        connection.sendall(HEAD + b"\r\n")
        began = time.monotonic()
        for _ in range(100):
            try:
                connection.sendall(b" ")
            except OSError:
                break
            time.sleep(0.02)
        assert time.monotonic() - began < 1.9


def test_a_second_request_on_the_same_connection_has_its_own_time(quick: httpx.Client) -> None:
    with connect(quick) as connection:
        for _ in range(3):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            came = b""
            while b"checks" not in came:
                came += connection.recv(65_536)
            assert b"200 OK" in came
            time.sleep(0.2)
        connection.sendall(b"GET /healthz HT")
        assert read(connection).startswith(b"HTTP/1.1 408 ")


def test_an_answer_that_takes_longer_than_a_request_may_is_not_cut(quick: httpx.Client, work) -> None:
    job = work.queued()
    with quick.stream("GET", f"/v1/jobs/{job}/events") as stream:
        lines = stream.iter_lines()
        assert "event: queued" in lines
        time.sleep(1)
        work.claim(job)
        assert "event: started" in lines


def test_others_are_answered_while_the_server_is_full_of_half_requests(quick: httpx.Client, caplog) -> None:
    caplog.set_level(logging.WARNING)
    held = [connect(quick) for _ in range(40)]
    try:
        refused = [read(each) for each in held[20:]]
        assert all(each.startswith(b"HTTP/1.1 503 ") or each == b"" for each in refused)
        until = time.monotonic() + 5
        while True:  # the eight that were taken end in 0.3 s
            try:
                if quick.get("/healthz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < until
        assert len([each for each in caplog.records if "connections are open" in each.message]) <= 1
    finally:
        for each in held:
            each.close()


def test_a_large_upload_at_an_honest_pace_is_let_through(quick: httpx.Client) -> None:
    rows = b"a,target\n" + b"".join(b"%d,%d.5\n" % (row, row % 7) for row in range(60_000))

    def slowly() -> Iterator[bytes]:
        edge = b"--x\r\n"
        yield edge + b'content-disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        for start in range(0, len(rows), 100_000):
            yield rows[start : start + 100_000]
            time.sleep(0.15)
        yield b"\r\n--x--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert quick.post("/v1/datasets", content=slowly(), headers=kind, timeout=30).status_code == 201
