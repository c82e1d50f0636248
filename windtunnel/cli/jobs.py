"""Commands on a server's jobs: list, show, follow, pause, resume, cancel, label, bundle, report."""

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.options import AsJson, JobId, Url
from windtunnel.cli.watching import as_document, ending, follow_job, points, summary
from windtunnel.client import Client, Result
from windtunnel.types import TERMINAL_STATES, JobState
from windtunnel.types import Job as WireJob
from windtunnel.types.jobs import JobSort, SortOrder, out_of

COLOURS: dict[JobState, str] = {
    "queued": "yellow",
    "running": "cyan",
    "paused": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_jobs)
    app.command("show")(show)
    app.command("follow")(follow)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    app.command("label")(label)
    app.command("bundle")(bundle)
    app.command("report")(report)


def list_jobs(
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.", show_default=False)] = None,
    task: Annotated[str | None, typer.Option(help="Only jobs of this task or data set.", show_default=False)] = None,
    search: Annotated[
        str | None,
        typer.Option(
            help="Only jobs with this text in name, task or data set's name, or at the end of the id.", show_default=False
        ),
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.", show_default=False)] = None,
    sort: Annotated[JobSort, typer.Option(help="What to put them in order by.")] = "created",
    order: Annotated[
        SortOrder | None, typer.Option(help="By default the newest first, else the least.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of jobs at most.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List jobs, newest first or in another order.

    \b
    Examples:
      windtunnel list --state running
      windtunnel list --task digits --limit 100 --json
      windtunnel list --search "first flight"
      windtunnel list --tag paper --sort loss
    """
    asked: dict[str, Any] = {"state": state, "task": task, "search": search, "tag": tag, "sort": sort, "order": order}
    with Client(url) as client:
        jobs = [job.wire for job in islice(client.jobs.list(**asked), limit + 1)]
    more, jobs = len(jobs) > limit, jobs[:limit]
    if as_json:
        output.print_json([job.model_dump(mode="json") for job in jobs])
        return
    if not jobs:
        output.say("no jobs" + (" like that" if state or task or search or tag else ""), style="dim")
        return
    headings = ("id", "name", "task", "state", "done", "best loss", "verdict", "runs", "age")
    output.show(output.table(headings, map(_row, jobs), right=("done", "best loss", "runs", "age")))
    if more:
        output.say(f"there are more than {limit}; see more with --limit {4 * limit}", style="dim")


def show(job_id: JobId, as_json: AsJson = False, url: Url = None) -> None:
    """Show one job: its progress, hyperparameters, losses and plans.

    With --json: the job with its result in the field "result", null without a result.

    \b
    Examples:
      windtunnel show job_01KAN...
      windtunnel show job_01KAN... --json | jq .result.best.hyperparameters
    """
    with Client(url) as client:
        job = client.jobs.find(job_id)
        result = job.result() if job.state == "succeeded" else None
    if as_json:
        output.print_json(as_document(job, result))
    else:
        output.show(*_parts(job.wire, result))


def follow(job_id: JobId, as_json: AsJson = False, url: Url = None) -> None:
    """Watch a job until it ends; Ctrl-C stops watching, not the job.

    On a terminal: progress, loss and hyperparameters, live. In a pipe: a line for each outer step.
    With --json: every event of the log, one per line, from the first.
    Continues after a restart of the server. Exit code 1 if the job failed or was cancelled.

    \b
    Examples:
      windtunnel follow job_01KAN...
      windtunnel follow job_01KAN... --json | jq -c 'select(.type == "outer_step") | .data.loss'
    """
    with Client(url) as client:
        follow_job(client.jobs.find(job_id), as_json=as_json)


def pause(job_id: JobId, as_json: AsJson = False, url: Url = None) -> None:
    """Pause a job until it is resumed. A running job writes a checkpoint and frees its worker soon.

    \b
    Examples:
      windtunnel pause job_01KAN...
    """
    with Client(url) as client:
        job = client.jobs.find(job_id).pause().wire
    _tell(
        job, as_json, None if job.state == "paused" else f"was asked to pause; resume it with: windtunnel resume {job.id}"
    )


def resume(job_id: JobId, as_json: AsJson = False, url: Url = None) -> None:
    """Resume a paused job from its checkpoint; does nothing in any other state.

    \b
    Examples:
      windtunnel resume job_01KAN...
    """
    with Client(url) as client:
        _tell(client.jobs.find(job_id).resume().wire, as_json, None)


def label(
    job_id: JobId,
    *,
    name: Annotated[str | None, typer.Option(help="Another name.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="A tag; repeat it for more. All of the job's tags.", show_default=False)
    ] = None,
    untag: Annotated[bool, typer.Option("--untag", help="Take all tags away.")] = False,
    notes: Annotated[str | None, typer.Option(help="Notes, as plain text.", show_default=False)] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Change the name, the tags or the notes of a job; what is not given stays.

    \b
    Examples:
      windtunnel label job_01KAN... --name "second flight" --tag paper --tag figure-2
      windtunnel label job_01KAN... --notes "diverges above 0.1"
    """
    if untag and tag:
        raise typer.BadParameter("--tag and --untag contradict each other", param_hint="--untag")
    if not (untag or tag or name is not None or notes is not None):
        raise typer.BadParameter("say what to change: --name, --tag, --untag or --notes", param_hint="--name")
    with Client(url) as client:
        job = client.jobs.find(job_id).label(name=name, tags=[] if untag else tag or None, notes=notes).wire
    if as_json:
        output.print_json(job.model_dump(mode="json"))
    else:
        output.say(f"{job.id} is {job.name or 'untitled'}{', ' if job.tags else ''}{' '.join(job.tags)}")


def cancel(job_id: JobId, as_json: AsJson = False, url: Url = None) -> None:
    """Cancel a job. A queued job ends at once, a running one at its next inner step. Does nothing if the job has ended.

    \b
    Examples:
      windtunnel cancel job_01KAN...
    """
    with Client(url) as client:
        job = client.jobs.find(job_id).cancel().wire
    _tell(job, as_json, f"was asked to stop; watch it end with: windtunnel follow {job.id}")


def bundle(
    job_id: JobId,
    *,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File or folder. Default: ID.zip in this folder.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write everything about a job to a zip: spec, log, metrics, result, plans, each with its SHA-256.

    The file is complete or absent: it is written under another name first. An existing file is replaced.

    \b
    Examples:
      windtunnel bundle job_01KAN... -o flight.zip
      windtunnel bundle job_01KAN... --json | jq -r .file
    """
    with Client(url) as client:
        job = client.jobs.find(job_id)
        written = job.bundle(target or Path())
    if as_json:
        output.print_json({"job_id": job.id, "file": str(written.absolute()), "bytes": written.stat().st_size})
    else:
        typer.echo(written)


def report(
    job_id: JobId,
    *,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File or folder. Default: ID.html in this folder.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write a report of a job as one HTML file to send around: verdict, losses, figures, plans, spec.

    The file opens in any browser, without a server and without a network. An existing file is replaced.

    \b
    Examples:
      windtunnel report job_01KAN... -o flight.html
    """
    with Client(url) as client:
        job = client.jobs.find(job_id)
        written = job.report(target or Path())
    if as_json:
        output.print_json({"job_id": job.id, "file": str(written.absolute()), "bytes": written.stat().st_size})
    else:
        typer.echo(written)


def _tell(job: WireJob, as_json: bool, asked: str | None) -> None:
    """Print the job as JSON or in a sentence: the request made of it, or its state if it has ended."""
    if as_json:
        output.print_json(job.model_dump(mode="json"))
    else:
        output.say(f"{job.id} {asked if asked and job.state not in TERMINAL_STATES else f'is {job.state}'}")


def _row(job: WireJob) -> tuple[str | Text, ...]:
    done, runs = f"{job.progress.fraction:.0%}", f"{job.progress.run_equivalents:.1f}"
    best = (job.best_loss, job.verdict)
    return (job.id, job.name, job.task_title or job.spec.task, _state(job), done, *best, runs, _age(job.created_at))


def _parts(job: WireJob, result: Result | None) -> list[RenderableType]:
    model, progress = job.spec.model, job.progress
    facts = [
        ("job", job.id),
        *([("name", job.name)] if job.name else []),
        *([("tags", " ".join(job.tags))] if job.tags else []),
        *([("notes", job.notes)] if job.notes else []),
        ("state", _state(job)),
        (
            "what",
            f"{job.task_title or job.spec.task}, {model.family} of width {model.width} and depth {model.depth}, "
            f"{job.spec.optimizer.name}, {job.spec.parametrization}",
        ),
        (
            "progress",
            f"{progress.fraction:.0%}, outer step {out_of(progress.outer_step, progress.outer_steps, ' of ')} "
            f"({progress.phase})",
        ),
        ("cost so far", f"{progress.run_equivalents:.1f} runs of the proxy"),
        *([("best loss", f"{job.best_loss}, {job.verdict}")] if job.best and result is None else []),
        ("created", f"{_age(job.created_at)} ago"),
        *([("worker", job.worker)] if job.worker and job.state == "running" else []),
        *([("attempts", str(job.attempts))] if job.attempts > 1 else []),
        *[("plan", plan) for plan in job.plans],
    ]
    parts: list[RenderableType] = [output.table(("", ""), facts), Text()]
    if result is not None:
        return parts + summary(result)
    if job.state in ("failed", "cancelled"):
        parts.append(Text(ending(job) + "\n", style="bold red"))
    return parts + points(job)


def _state(job: WireJob) -> Text:
    asked = " (cancelling)" if job.cancel_requested and job.state == "running" else ""
    return Text(job.state + asked, style=COLOURS[job.state])


def _age(since: datetime) -> str:
    seconds = max(0.0, (datetime.now(UTC) - since).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
