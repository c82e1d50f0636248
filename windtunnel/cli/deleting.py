"""``delete``: deletes ended jobs, plans and scaling-law fits, after a question that says what is lost."""

import sys
from typing import Annotated, Protocol

import typer

from windtunnel.cli import output
from windtunnel.cli.completing import job_ids
from windtunnel.cli.options import AsJson, Url
from windtunnel.client import Client


class Doomed(Protocol):
    """One thing to delete: its id, whether it has ended, the sentence about what is lost, and the request."""

    id: str
    ended: bool

    def lost(self) -> str:
        """Name the thing and everything that goes with it."""

    def delete(self) -> None:
        """Ask the server to delete it."""


class DoomedJob:
    """A job, found by its id or the end of it."""

    def __init__(self, client: Client, text: str) -> None:
        self._job = client.jobs.find(text)
        self.id, self.ended = self._job.id, self._job.finished

    def lost(self) -> str:
        """Name the job and everything that goes with it."""
        job, plans = self._job, len(self._job.plans)
        made = f", {plans} plan{'' if plans == 1 else 's'}" if plans else ""
        return f"job {self.id} ({job.name or job.spec.task}, {job.state}): log, numbers, result, checkpoints{made}"

    def delete(self) -> None:
        """Ask the server to delete it."""
        self._job.delete()


class DoomedPlan:
    """A plan, by its id."""

    ended = True

    def __init__(self, client: Client, text: str) -> None:
        self._plan = client.plans.get(text)
        self.id = self._plan.id

    def lost(self) -> str:
        """Name the plan, and the job that can make it again."""
        job = self._plan.job_id
        again = f"job {job} stays and can make it again" if job else "the same values make it again"
        return f"plan {self.id} (width {self._plan.width}); {again}"

    def delete(self) -> None:
        """Ask the server to delete it."""
        self._plan.delete()


class DoomedFit:
    """A scaling-law fit, by its id."""

    ended = True

    def __init__(self, client: Client, text: str) -> None:
        self._client, self._fit = client, client.laws.get(text)
        self.id = self._fit.id

    def lost(self) -> str:
        """Name the fit, and say that predictions stay."""
        return f"fit {self.id} ({self._fit.name or 'unnamed'}, {self._fit.rows} rows); predictions in plans stay"

    def delete(self) -> None:
        """Ask the server to delete it."""
        self._client.laws.delete(self.id)


KINDS: dict[str, type[DoomedPlan | DoomedFit]] = {"plan_": DoomedPlan, "law_": DoomedFit}
"""Beginning of an id -> what it is an id of; anything else is a job's."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("delete")(delete)


def delete(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="Ids of ended jobs (or their last 4 characters or more), of plans (plan_...) or of fits (law_...).",
            show_default=False,
            autocompletion=job_ids,
        ),
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where nobody can answer.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete ended jobs, plans or scaling-law fits. Asks once, and says what is lost; nothing can be brought back.

    A job takes its log, metrics, result, checkpoints and plans with it. One that has not ended is refused: cancel it first.

    \b
    Examples:
      windtunnel delete job_01KAN...
      windtunnel delete plan_01KAN... law_01KAN... --yes
      windtunnel list --state failed --json | jq -r '.[].id' | xargs windtunnel delete --yes
    """
    with Client(url) as client:
        doomed = list({each.id: each for each in (_found(client, text) for text in ids)}.values())
        if not yes:
            _ask(doomed)
        # A job that lives is refused by the server before anything else is gone.
        for each in sorted(doomed, key=lambda each: each.ended):
            each.delete()
            if not as_json:
                output.say(f"{each.id} is deleted")
    if as_json:
        output.print_json([{"id": each.id, "deleted": True} for each in doomed])


def _found(client: Client, text: str) -> Doomed:
    for prefix, kind in KINDS.items():
        if text.startswith(prefix):
            return kind(client, text)
    return DoomedJob(client, text)


def _ask(doomed: list[Doomed]) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here; say that you mean it", param_hint="--yes")
    output.say("This is lost for good:")
    for each in doomed:
        output.say(f"  {each.lost()}")
    if not typer.confirm("Delete?", err=True):
        output.say("nothing was deleted", style="dim")
        raise typer.Exit(0)
