"""``workers``, ``drain``: list the workers of a server, and ask one to leave."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from windtunnel.cli import output
from windtunnel.cli.options import AsJson, Url
from windtunnel.client import Client
from windtunnel.types import WorkerInfo


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("workers")(list_workers)
    app.command("drain")(drain)


def list_workers(as_json: AsJson = False, url: Url = None) -> None:
    """List the workers that reported within the last day, and the job of each.

    \b
    Examples:
      windtunnel workers
      windtunnel workers --json | jq '.[].id'
    """
    with Client(url) as client:
        fleet = client.workers.list()
    if as_json:
        output.print_json([worker.model_dump(mode="json") for worker in fleet])
    elif not fleet:
        output.say("no workers; start one with: windtunnel worker", style="dim")
    else:
        headings = ("id", "host", "device", "threads", "job", "seen")
        output.show(output.table(headings, map(_row, fleet), right=("threads", "seen")))


def drain(
    worker_id: Annotated[str, typer.Argument(metavar="WORKER", help="Id of a worker, as `windtunnel workers` shows it.")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Ask a worker to release its job, which another worker continues, and to take no other; then its process ends.

    On a server with API keys this needs an operator's key.

    \b
    Examples:
      windtunnel drain host:4711:1795839829.90:0
    """
    with Client(url) as client:
        worker = client.workers.drain(worker_id)
    if as_json:
        output.print_json(worker.model_dump(mode="json"))
    else:
        output.say(f"{worker.id} was asked to leave; its process ends when all of its workers have released their jobs")


def _row(worker: WorkerInfo) -> tuple[str, ...]:
    age = max(0.0, (datetime.now(UTC) - worker.seen_at).total_seconds())
    job = "draining" if worker.draining else worker.job_id or "-"
    return (worker.id, worker.host, worker.device, str(worker.threads), job, f"{age:.0f} s ago")
