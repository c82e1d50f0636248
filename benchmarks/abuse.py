"""``python -m benchmarks.abuse``: mistreats a real server on the loopback address, and prints how it fared.

One owner does what a mistaken or hostile program might: large bodies, requests that stop halfway, streams and uploads
without end, a database that cannot be written. Another owner reads their jobs meanwhile. No answer may be a 5xx but 503
and 507, and the other owner's 99th percentile stays below half a second. It is bounded: a minute, or ten seconds with
``--short``, which the tests run.
"""

import argparse
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from store import keys, schema
from store.database import Database

OTHERS_P99 = 0.5
"""Seconds below which the other owner is answered, in 99 of 100 cases."""
SLOWEST = 5.0
"""Seconds below which each answer to a large body comes while many of them are sent at once."""
LIMITS = {"HEADER_SECONDS": "3", "BODY_SECONDS": "3", "MAX_CONNECTIONS": "200", "MAX_JOBS": "20", "MAX_STREAMS": "10"}
ALLOWED = frozenset({503, 507})


@dataclass
class Row:
    """What came of one kind of abuse."""

    name: str
    figure: str
    good: bool
    statuses: set[int] = field(default_factory=set)
    others: float = 0.0
    """99th percentile of the other owner's seconds."""

    @property
    def passed(self) -> bool:
        """True where the kind was withstood."""
        wrong = {status for status in self.statuses if status >= 500} - ALLOWED
        return self.good and not wrong and self.others < OTHERS_P99


@dataclass
class Site:
    """A server that runs as a process of its own, and two owners with a key each."""

    url: str
    folder: Path
    bad: dict[str, str]
    good: dict[str, str]
    key: str
    scale: int
    """Factor of how much is sent: 1 for the short form."""

    def client(self, **more: object) -> httpx.Client:
        """Client of the owner who abuses the server."""
        return httpx.Client(base_url=self.url, headers=self.bad, timeout=30, **more)  # type: ignore[arg-type]


@contextmanager
def serving(scale: int) -> Iterator[Site]:
    """Start a server on an own data folder, and end it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database_url = f"sqlite:///{folder}/windtunnel.db"
        schema.upgrade(database_url)
        database = Database(database_url)
        with database.transaction() as session:
            made = [keys.create(session, "abuse", owner=owner, operator=1).key for owner in ("mallory", "ann")]
        database.dispose()
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {f"WINDTUNNEL_{key}": value for key, value in LIMITS.items()}
        command = [sys.executable, "-m", "windtunnel", "serve", "--no-worker", "--port", str(port), "--data-dir", name]
        server = subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        try:
            until = time.monotonic() + 60
            while not _answers(url):
                if server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the server did not start")
                time.sleep(0.05)
            bad, good = ({"authorization": f"Bearer {key}"} for key in made)
            yield Site(url, folder, bad, good, made[0], scale)
        finally:
            server.terminate()
            server.wait(20)


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/healthz").status_code == 200
    return False


@contextmanager
def others(site: Site) -> Iterator[list[float]]:
    """The other owner reads until the block ends; the seconds of each answer, infinite where there was none."""
    waits: list[float] = []
    stop = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=site.url, headers=site.good, timeout=10) as client:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    answered = client.get("/v1/jobs").status_code == 200
                except httpx.TransportError:
                    answered = False
                waits.append(time.monotonic() - began if answered else float("inf"))
                stop.wait(0.01)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield waits
    finally:
        stop.set()
        thread.join()


def large_bodies(site: Site) -> Row:
    """Bodies of up to a megabyte with tens of thousands of mistakes, eight at once."""
    wide = {f"field{number}": number for number in range(40_000)}
    bodies = [
        ("/v1/jobs", {"task": "digits", **wide}),
        ("/v1/jobs", {"task": "digits", "model": wide}),
        ("/v1/jobs", {"task": "digits", "search": [{"name": "x"}] * 60_000}),
        ("/v1/estimates", {"task": "digits", "initial": dict.fromkeys(map(str, range(9000)), "x")}),
        ("/v1/keys", {"name": "a" * 900_000}),
        ("/v1/webhooks", {"url": "https://a.example/", "events": ["job.x"] * 60_000}),
        ("/v1/laws/allocations", {"flops": 1e21, **wide}),
        ("/v1/laws/fits", {"columns": wide}),
    ]
    sent = [(path, json.dumps(body, separators=(",", ":"))) for path, body in bodies]
    kind = {"content-type": "application/json"}
    with site.client() as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda each: client.post(each[0], content=each[1], headers=kind), sent * site.scale))
    slowest = max(answer.elapsed.total_seconds() for answer in answers)
    good = {answer.status_code for answer in answers} == {422} and slowest < SLOWEST
    return Row("1 large bodies", f"{len(answers)} refused, slowest {slowest:.2f} s", good, {422})


def open_connection(site: Site) -> Row:
    """Requests one after the other on a connection that is kept open."""
    with site.client() as client:
        answers = [client.get("/healthz") for _ in range(50 * site.scale)]
    middle = statistics.median(answer.elapsed.total_seconds() for answer in answers)
    return Row("2 open connection", f"median answer {1000 * middle:.1f} ms", middle < 0.03, {200})


def streams(site: Site) -> Row:
    """More event streams than an owner may have."""
    most = int(LIMITS["MAX_STREAMS"])
    with site.client() as client:
        job = client.post("/v1/jobs", json={"task": "digits"}).json()["id"]
        held = [client.send(client.build_request("GET", f"/v1/jobs/{job}/events"), stream=True) for _ in range(most + 5)]
        statuses = [answer.status_code for answer in held]
        for answer in held:
            answer.close()
        client.post(f"/v1/jobs/{job}/cancel")
    good = statuses.count(200) == most and statuses.count(429) == 5
    return Row("3 event streams", f"{most} open, 5 refused", good, set(statuses))


def tabs(site: Site) -> Row:
    """Eight tabs of one browser, each with a live job."""
    from playwright.sync_api import sync_playwright

    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        return Row("3 eight tabs", "not run: chromium is not installed", good=True)
    with site.client() as client, sync_playwright() as playwright:
        jobs = [client.post("/v1/jobs", json={"task": "digits"}).json()["id"] for _ in range(8)]
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context()
        context.request.post(f"{site.url}/sign-in", form={"key": site.key})
        began = time.monotonic()
        opened = []
        for job in jobs:
            opened.append(context.new_page())
            opened[-1].goto(f"{site.url}/jobs/{job}", timeout=20_000)
        for job in jobs:
            client.post(f"/v1/jobs/{job}/cancel")
        for page in opened:
            page.locator("#state .badge", has_text="cancelled").wait_for(timeout=20_000)
        seconds = time.monotonic() - began
        browser.close()
    return Row("3 eight tabs", f"all opened, changed, current in {seconds:.1f} s", good=True)


def locked(site: Site) -> Row:
    """Reads with a key while another process holds the database's write lock."""
    with closing(sqlite3.connect(site.folder / "windtunnel.db", isolation_level=None)) as writer, site.client() as client:
        writer.execute("BEGIN IMMEDIATE")
        answers = [client.get(path) for path in ("/v1/jobs", "/v1/keys", "/", "/v1/datasets") for _ in range(site.scale)]
        writer.execute("ROLLBACK")
    slowest = max(answer.elapsed.total_seconds() for answer in answers)
    statuses = {answer.status_code for answer in answers}
    return Row("4 held write lock", f"reads, slowest {slowest:.2f} s", statuses == {200} and slowest < 2, statuses)


def half_requests(site: Site) -> Row:
    """Requests that stop in the header or the body, up to the number of connections that there may be."""
    place = site.url.rpartition(":")[2]
    head = b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n"
    began = time.monotonic()
    held = []
    for number in range(50 + 20 * site.scale):
        connection = socket.create_connection(("127.0.0.1", int(place)), 10)
        connection.sendall((head, head + b"\r\n", head + b'\r\n{"ta', b"G")[number % 4])
        held.append(connection)
    ended = 0
    for connection in held:
        connection.settimeout(10)
        with suppress(OSError):
            ended += connection.recv(100).startswith((b"HTTP/1.1 408", b"HTTP/1.1 401"))
        connection.close()
    return Row(
        "6 half-sent requests", f"{ended} of {len(held)} ended in {time.monotonic() - began:.1f} s", ended == len(held)
    )


def sessions(site: Site) -> Row:
    """The cookie of the page, copied before its user signs out."""
    with httpx.Client(base_url=site.url) as browser:
        cookie = browser.post("/sign-in", data={"key": site.key}).headers["set-cookie"].partition(";")[0]
        before = httpx.get(f"{site.url}/v1/jobs", headers={"cookie": cookie}).status_code
        browser.post("/sign-out")
        after = httpx.get(f"{site.url}/v1/jobs", headers={"cookie": cookie}).status_code
    good = site.key not in cookie and (before, after) == (200, 401)
    return Row("7 copied cookie", "no key in it; refused after sign-out" if good else f"{before}, {after}", good)


def malformed(site: Site) -> Row:
    """Brackets in brackets, numbers without end, origins that are none."""
    kind = {"content-type": "application/json"}
    with site.client() as client:
        job = client.post("/v1/jobs", json={"task": "digits"}).json()["id"]
        answers = [
            client.post("/v1/jobs", content="[" * 200_000 + "]" * 200_000, headers=kind),
            client.post("/v1/laws/fits", content="[" * 200_000 + "]" * 200_000, headers=kind),
            client.post(f"/v1/jobs/{job}/fork", content='{"overrides": {"seed": ' + "9" * 5000 + "}}", headers=kind),
            client.post(f"/jobs/{job}/fork", data={"overrides": '{"seed": ' + "9" * 5000 + "}"}),
            client.post("/v1/jobs", json={"task": "digits"}, headers={"origin": "http://["}),
            client.post("/jobs", content="a=b&" * 100_000, headers={"content-type": "application/x-www-form-urlencoded"}),
        ]
        client.post(f"/v1/jobs/{job}/cancel")
    statuses = {answer.status_code for answer in answers}
    return Row(
        "8 malformed requests", f"statuses {sorted(statuses)}", all(400 <= each < 500 for each in statuses), statuses
    )


def quotas(site: Site) -> Row:
    """Twice as many jobs at once as an owner may have; then all of them are cancelled and deleted."""
    most = int(LIMITS["MAX_JOBS"])
    with site.client() as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/jobs", json={"task": "digits"}), range(2 * most)))
        made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        for job in made:
            client.post(f"/v1/jobs/{job}/cancel")
        gone = [client.delete(f"/v1/jobs/{job}").status_code for job in made]
    good = len(made) == most and set(gone) == {204}
    return Row(
        "8 quotas", f"{len(made)} of {len(answers)} taken, all deleted", good, {each.status_code for each in answers}
    )


KINDS: tuple[Callable[[Site], Row], ...] = (
    large_bodies,
    open_connection,
    streams,
    locked,
    half_requests,
    sessions,
    malformed,
    quotas,
)


def run(scale: int) -> list[Row]:
    """Every kind of abuse, one after the other, on one server; the browser's only in the long form."""
    rows = []
    with serving(scale) as site:
        for kind in KINDS if scale == 1 else (*KINDS, tabs):
            with others(site) as waits:
                row = kind(site)
            row.others = sorted(waits)[int(0.99 * (len(waits) - 1))] if waits else float("inf")
            rows.append(row)
    return rows


def table(rows: list[Row]) -> str:
    """The rows as text."""
    lines = [f"{'abuse':24}{'what came of it':44}{'others p99':>12}  "]
    lines += [
        f"{row.name:24}{row.figure:44}{row.others:10.3f} s  {'withstood' if row.passed else 'FAILED'}" for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    """Run all kinds and print the table; 1 where one was not withstood."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.abuse", description="Mistreat a server and look at it.")
    parser.add_argument("--short", action="store_true", help="ten seconds in place of a minute")
    rows = run(1 if parser.parse_args().short else 6)
    print(table(rows))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
