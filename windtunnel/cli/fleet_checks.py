"""Checks of ``doctor`` on workers that share a database: live workers, queue, leases and broker."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from windtunnel.cli.databases import without_password
from windtunnel.cli.extras import missing

if TYPE_CHECKING:
    from workers.settings import WorkerSettings

LONG = 60.0
"""Seconds after which a queued job is worth a warning although a worker is free."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of ``doctor``, of this file or of ``checks``, and what to do about it."""

    name: str
    status: Literal["ok", "warn", "problem"]
    message: str
    remedy: str = ""


def fleet_findings(url: str) -> Iterator[Finding]:
    """Yield findings on workers, queue and leases of a database that answers and has this version's schema."""
    from store.database import Database
    from store.measures import measure

    database = Database(url)
    try:
        with database.snapshot() as s:
            seen = measure(s)
    finally:
        database.dispose()
    there = seen.workers["free"] + seen.workers["busy"]
    count = ", ".join(f"{number} {status}" for status, number in seen.workers.items() if number) or "none"
    if seen.workers["silent"]:
        yield Finding(
            "fleet", "warn", f"workers: {count}", "a silent worker was killed or cannot reach the database; see its log"
        )
    else:
        yield Finding("fleet", "ok", f"workers: {count}")
    waiting = seen.jobs["queued"]
    queue = f"{waiting} waiting, {seen.jobs['running']} running; the oldest waits for {seen.oldest_waits:.0f} s"
    if waiting and not there:
        yield Finding("queue", "problem", f"{queue}; no worker is running", "start one: `windtunnel worker`")
    elif waiting and seen.workers["free"] and seen.oldest_waits > LONG:
        yield Finding(
            "queue",
            "warn",
            f"{queue}, while {seen.workers['free']} workers are free",
            "check that a dispatcher runs and that the broker answers",
        )
    else:
        yield Finding("queue", "ok", queue)
    if seen.overdue:
        yield Finding(
            "leases", "warn", f"{seen.overdue} have expired and no process reclaims them", "start a server or a worker"
        )
    elif seen.lease_ages:
        yield Finding(
            "leases", "ok", f"{len(seen.lease_ages)} held, renewed {max(seen.lease_ages.values()):.0f} s ago at most"
        )


def broker_finding(settings: "WorkerSettings") -> Finding:
    """The finding on whether the broker of the settings answers."""
    shown = without_password(settings.broker_url or "")
    if missing("celery"):
        return Finding(
            "broker", "problem", f"{shown} needs {', '.join(missing('celery'))}", "pip install 'windtunnel[celery]'"
        )
    from workers.broker import BROKER_ERRORS, waiting_rings

    try:
        rings = waiting_rings(settings)()
    except BROKER_ERRORS as error:
        return Finding(
            "broker", "problem", f"{shown} does not answer: {error}", "start Redis, or correct WINDTUNNEL_BROKER_URL"
        )
    return Finding("broker", "ok", f"{shown} answers, {rings} messages that no worker has read yet")
