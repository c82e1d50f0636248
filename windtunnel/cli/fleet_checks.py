"""What ``doctor`` looks at where several workers share a database: who is there, what waits, does the broker answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from windtunnel.cli.databases import without_password
from windtunnel.cli.extras import missing

if TYPE_CHECKING:
    from workers.settings import WorkerSettings

LONG = 60.0
"""Seconds in the queue after which a job with a free worker beside it is worth a word."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of ``doctor``, of this file or of ``checks``, and what to do about it."""

    name: str
    status: Literal["ok", "warn", "problem"]
    message: str
    remedy: str = ""


def fleet_findings(url: str) -> Iterator[Finding]:
    """Workers, leases and the queue of a database that answers and has this version's schema."""
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
        yield Finding("queue", "problem", f"{queue}; no worker is there", "start one: `windtunnel worker`")
    elif waiting and seen.workers["free"] and seen.oldest_waits > LONG:
        yield Finding(
            "queue",
            "warn",
            f"{queue}, beside {seen.workers['free']} free",
            "is a dispatcher there, and does the broker answer?",
        )
    else:
        yield Finding("queue", "ok", queue)
    if seen.overdue:
        yield Finding(
            "leases", "warn", f"{seen.overdue} have run out and nobody takes them back", "start a server or a worker"
        )
    elif seen.lease_ages:
        yield Finding(
            "leases", "ok", f"{len(seen.lease_ages)} held, renewed {max(seen.lease_ages.values()):.0f} s ago at most"
        )


def broker_finding(settings: "WorkerSettings") -> Finding:
    """Does the broker of the settings answer?"""
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
    return Finding("broker", "ok", f"{shown} answers, {rings} rings that no worker has heard yet")
