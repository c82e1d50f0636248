"""What the shell offers after TAB beside commands and options: ids of jobs, names of tasks."""

from itertools import islice

from windtunnel.client import Client, Pacing, WindtunnelError
from windtunnel.tasks import TASKS

OFFERED = 20
"""Jobs offered, the newest."""
PATIENCE = 1.0
"""Seconds that somebody who has pressed TAB waits for a server."""


def job_ids(incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest jobs of the server that WINDTUNNEL_URL names, and what each is."""
    try:
        with Client(timeout=PATIENCE, pacing=Pacing(retries=0)) as client:
            jobs = list(islice(client.jobs.list(), OFFERED))
    except WindtunnelError:
        return []  # a shell in the middle of a line has no place for a message; the command will say it
    return [(job.id, f"{job.name or job.spec.task}, {job.state}") for job in jobs if job.id.startswith(incomplete)]


def tasks(incomplete: str) -> list[tuple[str, str]]:
    """Names of the tasks that are built in or installed, and their titles."""
    return [(name, task.title) for name, task in TASKS.items() if name.startswith(incomplete)]
