"""``python -m benchmarks.fleet``: measures how fast a fleet submits, starts, claims and recovers jobs.

Every number is from one machine that runs clients, private servers and workers. The table goes into docs/benchmarks.md.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from sqlalchemy import insert

from benchmarks.crew import CELERY, LOCAL, Crew, job_process
from benchmarks.engine import machine
from benchmarks.page import write
from benchmarks.servers import PostgresqlServer, RedisServer
from service.app import create_app
from service.serve import background
from service.settings import ServiceSettings
from store import jobs, leases, outbox, schema, workers
from store.database import Database
from store.keys import LOCAL as OWNER
from store.tables import metrics
from windtunnel.types import JobSpec, JobState
from workers.celery_dispatcher import CeleryDispatcher
from workers.patience import patiently
from workers.settings import WorkerSettings

CLIENTS, EACH = 64, 10
CLAIMERS, CLAIMED = 8, 400
STARTS = 8
POINTS = 100_000
KILLS = ((5.0, 3), (60.0, 1))
"""(lease in seconds, number of kills) of each measurement."""
PATIENCE = 120.0
ENDLESS = JobSpec.model_validate(
    {
        "task": "digits",
        "model": {"width": 8},
        "inner": {"steps": 20, "batch_size": 16, "seeds": 2},
        "outer": {"steps": 1000},
    }
)

Line = tuple[str, str, str]


def quantile(values: list[float], share: float) -> float:
    """Quantile: the value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def wait_until(true: Callable[[], bool], pause: float = 0.005) -> float:
    """Seconds until ``true`` holds."""
    begun = time.monotonic()
    while not true():
        if time.monotonic() > begun + PATIENCE:
            raise TimeoutError("it did not happen")
        time.sleep(pause)
    return time.monotonic() - begun


def in_threads(count: int, work: Callable[[], None]) -> float:
    """Seconds that ``count`` threads take that begin at once."""
    together = threading.Barrier(count + 1)

    def begin() -> None:
        together.wait()
        work()

    threads = [threading.Thread(target=begin) for _ in range(count)]
    for thread in threads:
        thread.start()
    together.wait()
    begun = time.monotonic()
    for thread in threads:
        thread.join()
    return time.monotonic() - begun


def submitting(url: str, name: str) -> Line:
    """Rate and latency of POST /v1/jobs with many clients at once."""
    taken: list[float] = []
    refused: list[int] = []
    database = Database(url)
    with tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(database_url=url, data_dir=Path(folder))
        with background(create_app(settings, database=database)) as address:

            def client() -> None:
                with httpx.Client(base_url=address, timeout=60) as session:
                    for _ in range(EACH):
                        begun = time.monotonic()
                        while (answer := session.post("/v1/jobs", json={"task": "digits"})).status_code == 503:
                            refused.append(answer.status_code)  # to be sent again, as the client library does
                        answer.raise_for_status()
                        taken.append(time.monotonic() - begun)

            seconds = in_threads(CLIENTS, client)
    database.dispose()
    spread = f"p50 {1e3 * quantile(taken, 0.5):.0f} ms, p99 {1e3 * quantile(taken, 0.99):.0f} ms"
    cells = f"{len(taken) / seconds:.0f} jobs/s", f"{spread}, {len(refused)} of {len(taken)} answered 503 and sent again"
    return f"submit, {CLIENTS} clients, {name}", *cells


def claiming(url: str, name: str) -> Line:
    """Claims per second of several supervisors, each with its own connection, until the queue is empty."""
    database = Database(url)
    with database.transaction() as s:
        waiting = [jobs.submit(s, ENDLESS, owner=OWNER).id for _ in range(CLAIMED)]
    database.dispose()
    wins: list[str] = []

    def supervisor() -> None:
        mine = Database(url)
        while len(wins) < CLAIMED:
            wins.extend(patiently(lambda: claimed(mine), PATIENCE))
        mine.dispose()

    seconds = in_threads(CLAIMERS, supervisor)
    assert sorted(wins) == sorted(waiting), "each was claimed once"
    return f"claim, {CLAIMERS} supervisors, {CLAIMED} jobs, {name}", f"{CLAIMED / seconds:.0f} claims/s", ""


def claimed(database: Database) -> list[str]:
    """Claim at most one due job, as a free supervisor does; its id in a list."""
    with database.transaction() as s:
        return [job_id for job_id in outbox.due(s, 1) if leases.claim(s, job_id, "worker", 60) is not None]


@contextmanager
def crew(url: str, folder: Path, **settings: str) -> Iterator[Crew]:
    """Context with workers on a database."""
    given = {"DATABASE_URL": url, "DATA_DIR": str(folder), "THREADS": "1", "GRACE": "5", **settings}
    made = Crew(given, folder / "workers.log")
    yield made
    made.end()


def starting(url: str, broker: str | None, name: str) -> Line:
    """Time from the commit that queues a job to its claim by an idle worker, at the default settings."""
    database = Database(url)
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        rung = {"BROKER_URL": broker} if broker else {}
        settings = WorkerSettings(database_url=url, broker_url=broker, data_dir=Path(folder))
        dispatcher = CeleryDispatcher(database, settings) if broker else None
        with crew(url, Path(folder), **rung) as staff:
            staff.start(CELERY if broker else LOCAL)
            if dispatcher is not None:
                dispatcher.start()
            for _ in range(STARTS + 1):
                with database.transaction() as s:
                    job = jobs.submit(s, ENDLESS, owner=OWNER)
                until(database, job.id, "running")
                with database.transaction() as s:
                    (attempt,) = jobs.attempts(s, job.id, owner=OWNER)
                    jobs.request_cancel(s, job.id, owner=OWNER)
                taken.append((attempt.started_at - job.created_at).total_seconds())
                until(database, job.id, "cancelled")
        if dispatcher is not None:
            dispatcher.stop()
    database.dispose()
    taken = taken[1:]  # the first one waited for the worker to come up
    cells = f"median {statistics.median(taken):.2f} s", f"longest {max(taken):.2f} s of {STARTS}"
    return f"ring to start, {name}", *cells


def recovering(url: str, ttl: float, kills: int) -> Line:
    """Time from SIGKILL of a worker and its job process to the claim by a worker of another machine.

    The other machine is a process namespace of its own: it cannot see that the first worker is gone, so the lease decides.
    """
    database = Database(url)
    taken = []
    for _ in range(kills):
        lease = {"LEASE_TTL": f"{ttl:g}", "BEAT": f"{ttl / 6:g}"}
        with tempfile.TemporaryDirectory() as folder, crew(url, Path(folder), **lease) as staff:
            with database.transaction() as s:
                job_id = jobs.submit(s, ENDLESS, owner=OWNER).id
            first = staff.start(LOCAL)
            until(database, job_id, "running", outer_step=1)
            staff.start(LOCAL, before=["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"])
            wait_until(lambda: fleet_size(database) >= 2)
            process = job_process(first)
            first.kill()
            if process is not None:
                process.kill()
            taken.append(until(database, job_id, "running", attempts=2))
            with database.transaction() as s:
                jobs.request_cancel(s, job_id, owner=OWNER)
            until(database, job_id, "cancelled")
        forget_workers(database)
    database.dispose()
    cells = f"{statistics.median(taken):.1f} s", f"of {kills}: " + ", ".join(f"{seconds:.1f}" for seconds in taken)
    return f"SIGKILL of a worker to its job going on at another machine, lease of {ttl:g} s", *cells


def until(database: Database, job_id: str, state: JobState, *, outer_step: int = 0, attempts: int = 0) -> float:
    """Seconds until a job is in this state, at this outer step, in this attempt or a later one."""

    def is_so() -> bool:
        with database.snapshot() as s:
            job = jobs.get(s, job_id, owner=OWNER)
        return job.state == state and job.progress.outer_step >= outer_step and job.attempts >= attempts

    return wait_until(is_so)


def fleet_size(database: Database) -> int:
    """Number of workers on the list."""
    with database.snapshot() as s:
        return len(workers.listing(s))


def forget_workers(database: Database) -> None:
    """Empty the list of workers."""
    with database.transaction() as s:
        for worker in workers.listing(s):
            workers.gone(s, worker.id)


def reading(url: str, name: str) -> Line:
    """Time to read the page and the metrics of a job with very many points."""
    database = Database(url)
    with database.transaction() as s:
        job_id = jobs.submit(s, ENDLESS, owner=OWNER).id
        series = [f"series.{number}" for number in range(100)]
        rows = [
            {"job_id": job_id, "series": one, "step": step, "value": 1.0 / (step + 1)}
            for one in series
            for step in range(POINTS // 100)
        ]
        s.execute(insert(metrics), rows)
    with tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(database_url=url, data_dir=Path(folder))
        with background(create_app(settings, database=database)) as address, httpx.Client(base_url=address) as client:
            page = min(timed(client, f"/jobs/{job_id}") for _ in range(5))
            thinned = min(timed(client, f"/v1/jobs/{job_id}/metrics?max_points=100") for _ in range(3))
    database.dispose()
    cells = f"page {1e3 * page:.0f} ms", f"all 100 series, thinned to 100 points each: {1e3 * thinned:.0f} ms"
    return f"a job with {POINTS:,} metric points, {name}", *cells


def timed(client: httpx.Client, path: str) -> float:
    """Seconds of one GET."""
    begun = time.monotonic()
    client.get(path, timeout=60).raise_for_status()
    return time.monotonic() - begun


def main() -> int:
    """Measure everything and write the table."""
    postgresql, redis = PostgresqlServer(), RedisServer()
    redis.start()
    lines: list[Line] = []
    load = os.getloadavg()[1]
    try:
        schema.upgrade(postgresql.url)
        with tempfile.TemporaryDirectory() as folder:

            def databases() -> Iterator[tuple[str, str]]:
                sqlite = f"sqlite:///{folder}/{len(lines)}.db"
                schema.upgrade(sqlite)
                yield sqlite, "SQLite"
                schema.downgrade(postgresql.url)
                schema.upgrade(postgresql.url)
                yield postgresql.url, "PostgreSQL"

            for measure in (submitting, claiming, reading):
                for url, name in databases():
                    lines.append(measure(url, name))
                    print(*lines[-1], sep=" | ", flush=True)
            schema.downgrade(postgresql.url)
            schema.upgrade(postgresql.url)
            for broker, name in ((None, "Local"), (redis.url, "Celery")):
                lines.append(starting(postgresql.url, broker, f"{name}, PostgreSQL"))
                print(*lines[-1], sep=" | ", flush=True)
            for ttl, kills in KILLS:
                lines.append(recovering(postgresql.url, ttl, kills))
                print(*lines[-1], sep=" | ", flush=True)
    finally:
        redis.remove()
        postgresql.remove()
    described = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `make fleet` on {machine()}; {os.cpu_count()} cores for clients, "
        f"server, databases and workers. Load of the machine before it: {load:.1f}, from other work where not near 0. "
        "PostgreSQL syncs each commit.",
        "",
        "| what | | |",
        "|---|---:|---|",
        *(f"| {what} | {first} | {second} |" for what, first, second in lines),
    ]
    write("fleet", described)
    return 0


if __name__ == "__main__":
    sys.exit(main())
