"""``python -m benchmarks.soak``: kills parts of a fleet at random, and counts lost and doubled jobs.

The fleet has a private PostgreSQL and Redis, Celery workers and a dispatcher. Exit status 1 if a job was lost or doubled,
or failed for another reason than being killed too often. The seed decides kind and time of the faults; the state that they
hit depends on the machine's speed.
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.crew import Crew, job_process
from benchmarks.engine import machine
from benchmarks.page import write
from benchmarks.servers import PostgresqlServer, RedisServer
from hpo.study import Study
from store import events, jobs, leases, schema
from store.database import Database
from store.errors import DATABASE_ERRORS
from windtunnel.types import TERMINAL_STATES, JobSpec, TuneResult
from workers.broker import BROKER_ERRORS, QUEUE, RUN_JOB, make_app
from workers.celery_dispatcher import CeleryDispatcher
from workers.settings import WorkerSettings

SEEDS = 3
"""Number of different jobs; each is submitted many times."""
OWNERS = ("ada", "bob")
WAITING = 3
"""Number of jobs kept in the queue during the soak."""
GAP = (6.0, 12.0)
"""Least and most seconds between two faults."""
LEASE = 6.0
LAST_JOBS = 420.0
"""Seconds after the last fault within which every job must end."""


def spec(seed: int) -> JobSpec:
    """A job of a few seconds, most of which its process needs to start."""
    return JobSpec.model_validate(
        {
            "task": "digits",
            "seed": seed,
            "model": {"width": 8},
            "inner": {"steps": 20, "batch_size": 16, "seeds": 2},
            "outer": {"steps": 6, "finish_seeds": 2},
        }
    )


def timeless(result: TuneResult) -> TuneResult:
    """The result without its wall-clock time, which differs between runs."""
    return result.model_copy(update={"cost": result.cost.model_copy(update={"wall_seconds": 0.0})})


def undisturbed(seed: int) -> TuneResult:
    """Result of the job in a run without faults."""
    study = Study(spec(seed), threads=1)
    for _ in study:
        pass
    return timeless(study.finish())


class Soak:
    """One fleet, its use and its faults."""

    def __init__(self, seed: int, workers: int, folder: Path) -> None:
        self.folder = folder
        # Two threads draw, and each draws the same whatever the other does.
        self.chance, self.use_chance = random.Random(seed), random.Random(f"use {seed}")
        self.postgresql, self.redis = PostgresqlServer("fsync=off", "full_page_writes=off"), RedisServer()
        self.redis.start()
        schema.upgrade(self.postgresql.url)
        self.database = Database(self.postgresql.url)
        self.settings = WorkerSettings(
            database_url=self.postgresql.url, broker_url=self.redis.url, data_dir=folder, poll=0.2, beat=1, lease_ttl=LEASE
        )
        shared = {"DATABASE_URL": self.postgresql.url, "BROKER_URL": self.redis.url, "DATA_DIR": str(folder)}
        self.crew = Crew(
            {**shared, "THREADS": "1", "POLL": "0.2", "BEAT": "1", "LEASE_TTL": f"{LEASE:g}", "LOG_FORMAT": "json"},
            folder / "workers.log",
        )
        self.dispatcher = CeleryDispatcher(self.database, self.settings)
        self.dispatcher.start()
        for _ in range(workers):
            self.crew.start()
        self.submitted: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        self.paused: set[str] = set()
        self.faults: Counter[str] = Counter()

    # What users do

    def use(self) -> None:
        """Keep the queue filled, and sometimes cancel, pause or resume a job."""
        with self.database.transaction() as s:
            waiting = sum(len(jobs.page(s, owner=owner, state="queued", limit=WAITING).items) for owner in OWNERS)
            for _ in range(WAITING - waiting):
                seed = self.use_chance.randrange(SEEDS)
                owner = self.use_chance.choice(OWNERS)
                job_id = jobs.submit(s, spec(seed), owner=owner).id
                self.submitted[job_id], self.owners[job_id] = seed, owner
            for job_id in list(self.paused):
                jobs.resume(s, job_id, owner=self.owners[job_id])
                self.paused.discard(job_id)
            running = [lease.job_id for lease in leases.running(s)]
            if running and self.use_chance.random() < 0.04:
                job_id = self.use_chance.choice(running)
                if self.use_chance.random() < 0.4:
                    jobs.request_cancel(s, job_id, owner=self.owners[job_id])
                else:
                    jobs.request_pause(s, job_id, owner=self.owners[job_id])
                    self.paused.add(job_id)

    # What happens to them

    def fault(self) -> None:
        """Inject one random fault."""
        kinds: dict[str, Callable[[], None]] = {
            "job process killed": self._kill_job_process,
            "worker killed": lambda: self._kill_worker(with_job=False),
            "worker and job process killed": lambda: self._kill_worker(with_job=True),
            "worker suspended past its lease": self._suspend,
            "worker restarted in order": self._restart_worker,
            "Redis emptied": self._empty_redis,
            "Redis killed": self._kill_redis,
            "PostgreSQL killed": self._kill_postgresql,
            "rings doubled": self._double_rings,
            "checkpoint truncated": self._truncate,
        }
        name = self.chance.choice(list(kinds))
        with contextlib.suppress(psutil.Error, *BROKER_ERRORS, *DATABASE_ERRORS):
            kinds[name]()
        self.faults[name] += 1

    def _kill_job_process(self) -> None:
        busy = [process for worker in self.crew.alive if (process := job_process(worker)) is not None]
        if busy:
            self.chance.choice(busy).kill()

    def _kill_worker(self, *, with_job: bool) -> None:
        worker = self.chance.choice(self.crew.alive)
        process = job_process(worker)
        worker.kill()
        if with_job and process is not None:
            process.kill()
        worker.wait()
        self.crew.start()

    def _suspend(self) -> None:
        worker = self.chance.choice(self.crew.alive)
        process = job_process(worker)
        for suspended in (worker, process):
            if suspended is not None:
                suspended.suspend()
        time.sleep(1.5 * LEASE)
        for suspended in (process, worker):
            if suspended is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    suspended.resume()

    def _restart_worker(self) -> None:
        worker = self.chance.choice(self.crew.alive)
        worker.terminate()
        worker.wait(60)
        self.crew.start()

    def _empty_redis(self) -> None:
        self.redis.client.flushall()

    def _kill_redis(self) -> None:
        self.redis.kill()
        time.sleep(self.chance.uniform(0.2, 2))
        self.redis.start()

    def _kill_postgresql(self) -> None:
        self.postgresql.kill()
        time.sleep(self.chance.uniform(0, 1))
        self.postgresql.start()

    def _double_rings(self) -> None:
        app = make_app(self.settings)
        for job_id in self.chance.choices(list(self.submitted), k=50):
            app.send_task(RUN_JOB, args=[job_id], queue=QUEUE)
        app.close()

    def _truncate(self) -> None:
        files = sorted(self.folder.glob("jobs/*/*/state.safetensors"), key=lambda path: path.stat().st_mtime)
        if files:
            os.truncate(files[-1], files[-1].stat().st_size // 2)

    # What became of it all

    def all_ended(self) -> bool:
        """True if every job has ended."""
        with self.database.transaction() as s:
            for job_id in self.paused:
                jobs.resume(s, job_id, owner=self.owners[job_id])
            self.paused.clear()
            return all(jobs.get(s, job_id, owner=self.owners[job_id]).state in TERMINAL_STATES for job_id in self.submitted)

    def count(self, expected: dict[int, TuneResult]) -> tuple[Counter[str], Counter[str]]:
        """(jobs by outcome, attempts by outcome), as counts; a ``doubled`` job repeats an event, or its result differs."""
        ended: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        with self.database.snapshot() as s:
            for job_id, seed in self.submitted.items():
                job, log = (
                    jobs.get(s, job_id, owner=self.owners[job_id]),
                    events.after(s, job_id, 0, owner=self.owners[job_id]),
                )
                ended[job.state if job.state in TERMINAL_STATES else "lost"] += 1
                if job.failure is not None:
                    ended[f"failed: {job.failure.type}"] += 1
                outcomes.update(
                    attempt.outcome or "open" for attempt in jobs.attempts(s, job_id, owner=self.owners[job_id])
                )
                steps = [event.data["outer_step"] for event in log if event.type == "outer_step"]
                ends = sum(event.type in TERMINAL_STATES for event in log)
                once = (
                    ends <= 1
                    and [event.seq for event in log] == list(range(1, len(log) + 1))
                    and steps == sorted(set(steps))
                )
                found = jobs.result(s, job_id, owner=self.owners[job_id])
                if not once or (found is not None and timeless(found) != expected[seed]):
                    ended["doubled"] += 1
        return ended, outcomes

    def close(self) -> None:
        """Stop every process of the fleet."""
        self.dispatcher.stop()
        self.crew.end()
        self.database.dispose()
        self.redis.remove()
        self.postgresql.remove()


def run(seconds: float, seed: int, workers: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """(number of jobs by outcome, lines of the report) of a soak."""
    expected = {number: undisturbed(number) for number in range(SEEDS)}
    soak = Soak(seed, workers, folder)
    over = threading.Event()

    def break_things() -> None:
        while not over.wait(soak.chance.uniform(*GAP)):
            soak.fault()

    breaking = threading.Thread(target=break_things, name="faults")
    try:
        breaking.start()
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            with contextlib.suppress(*DATABASE_ERRORS):
                soak.use()
            time.sleep(1)
        over.set()
        breaking.join()
        deadline = time.monotonic() + LAST_JOBS
        while time.monotonic() < deadline and not soak.all_ended():
            time.sleep(0.5)
        ended, outcomes = soak.count(expected)
    finally:
        over.set()
        soak.close()
    load = os.getloadavg()[1]
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `make soak` with seed {seed} on {machine()}: {seconds:g} s of faults, "
        f"{workers} Celery workers, a lease of {LEASE:g} s, PostgreSQL and Redis; load of the machine {load:.1f}.",
        "",
        "| jobs submitted | ended | of them succeeded | cancelled | failed | lost | doubled |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        "| "
        + " | ".join(
            str(number)
            for number in (
                len(soak.submitted),
                len(soak.submitted) - ended["lost"],
                *(ended[state] for state in ("succeeded", "cancelled", "failed", "lost", "doubled")),
            )
        )
        + " |",
        "",
        f"{soak.faults.total()} faults: "
        + ", ".join(f"{name} {number}" for name, number in sorted(soak.faults.items()))
        + ".",
        "Failed by type: "
        + (", ".join(f"{name[8:]} {number}" for name, number in ended.items() if name.startswith("failed: ")) or "none")
        + ". A job that meets three kills with no checkpoint in between is taken for one that kills (`poison`).",
        "Attempts: " + ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())) + ".",
    ]
    return ended, lines


def main() -> int:
    """Exit status of a soak: 1 if a job was lost or doubled, or failed for another reason than the kills."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Break a fleet and count its jobs.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="windtunnel-soak-") as folder:
        ended, lines = run(given.seconds, given.seed, given.workers, Path(folder))
    print("\n".join(lines))
    if given.seconds >= 600:
        write("soak", lines)
    return int(bool(ended["lost"] or ended["doubled"] or ended["failed"] > ended["failed: poison"]))


if __name__ == "__main__":
    sys.exit(main())
