"""Shell completion of values: ids of jobs and names of tasks."""

from itertools import islice

from windtunnel.client import Client, Pacing, WindtunnelError
from windtunnel.tasks import TASKS

OFFERED = 20
"""Number of jobs offered, newest first."""
PATIENCE = 1.0
"""Seconds to wait for the server after TAB was pressed."""


def job_ids(incomplete: str) -> list[tuple[str, str]]:
    """(id, description) of the newest jobs of the server in WINDTUNNEL_URL whose id starts with ``incomplete``."""
    try:
        with Client(timeout=PATIENCE, pacing=Pacing(retries=0)) as client:
            jobs = list(islice(client.jobs.list(), OFFERED))
    except WindtunnelError:
        return []  # completion has no place for a message; the command itself will report the error
    return [(job.id, f"{job.name or job.spec.task}, {job.state}") for job in jobs if job.id.startswith(incomplete)]


def tasks(incomplete: str) -> list[tuple[str, str]]:
    """(name, title) of the built-in and installed tasks whose name starts with ``incomplete``."""
    return [(name, task.title) for name, task in TASKS.items() if name.startswith(incomplete)]
