"""Shows a job while it runs, and its outcome."""

from typing import Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.exits import ExitCode
from windtunnel.client import Job, JobProgress, Result
from windtunnel.client._events import outer_step
from windtunnel.client._progress import PHASES
from windtunnel.types import Job as WireJob
from windtunnel.types import LossEstimate, OuterStep
from windtunnel.types.jobs import out_of
from windtunnel.types.verdicts import estimate

EVENTS = {
    "queued": PHASES["waiting"],
    "started": "a worker has taken the job",
    "finishing": PHASES["finish"],
    "requeued": "back in the queue",
    "plan_created": "plan made",
}
"""Type of an event -> what happens, where the type does not say it."""


def follow_job(job: Job, *, as_json: bool) -> None:
    """Show a job until it ends: events as JSON lines, or a live view on a terminal, or a line for each outer step.

    Raises:
        typer.Exit: the job failed or was cancelled.
    """
    if as_json:
        for event in job.events():
            typer.echo(event.model_dump_json())
        job.refresh()
        _exit_like(job)
        return
    if output.messages().is_terminal:
        _live(job)
    else:
        _lines(job)
    job.refresh()
    print_outcome(job, as_json=False)


def wait_for_end(job: Job, timeout: float | None) -> None:
    """Show a progress bar until the job ends.

    Raises:
        WaitTimeout: the job did not end in time.
    """
    with JobProgress(shown=True) as bar:
        for wire in job.watch(timeout):
            bar.show(wire)


def print_outcome(job: Job, *, as_json: bool) -> None:
    """Print the outcome of an ended job, with its result.

    Raises:
        typer.Exit: the job failed or was cancelled.
    """
    result = job.result() if job.state == "succeeded" else None
    if as_json:
        output.print_json(as_document(job, result))
    elif result is not None:
        output.show(*summary(result))
        # A job with a target has made its plan already.
        size = "" if job.plans else f" --width {8 * result.spec.model.width}"
        output.say(f"next: windtunnel plan {job.id}{size} --format torch", style="dim")
    else:
        output.say(ending(job.wire), style="bold red")
    _exit_like(job)


def as_document(job: Job, result: Result | None) -> dict[str, Any]:
    """A job and its result (null without one) as one JSON document."""
    return job.wire.model_dump(mode="json") | {"result": None if result is None else result.model_dump(mode="json")}


def summary(result: Result) -> list[RenderableType]:
    """Tables of a result: losses and hyperparameters, at the start and at the best point."""
    losses = [
        ("validation", _loss(result.start.validation), _loss(result.best.validation)),
        ("test", _loss(result.start.test), _loss(result.best.test)),
    ]
    start = result.start.hyperparameters
    values = [
        (label, output.number(start.get(label)), output.number(value)) for label, value in result.hyperparameters.items()
    ]
    ended = [] if result.early_stopping is None else [Text(f"early stopping: {result.early_stopping.sentence}")]
    grid = [] if result.scaling is None else [Text(f"scaling laws: {result.scaling.sentence}")]
    proof = [] if result.certificate is None else [Text(f"certificate: {result.certificate.sentence}")]
    check = [] if result.coordinate_check is None else [Text(f"coordinate check: {result.coordinate_check.sentence}")]
    return [
        Text(f"best loss {result.verdict}"),
        Text(),
        output.table((unit(result.best.test), "start", "best"), losses, right=("start", "best")),
        Text(),
        output.table(("hyperparameter", "start", "best"), values, right=("start", "best")),
        Text(f"\ncost {result.cost.run_equivalents:.1f} runs of the proxy, {result.cost.wall_seconds:.0f} s"),
        *ended,
        *grid,
        *proof,
        *check,
    ]


def unit(loss: LossEstimate) -> str:
    """Name and unit of a loss: squared error for a regression (which has no accuracy), else nats."""
    return "squared error" if loss.accuracy is None else "loss (nats)"


def ending(job: WireJob) -> str:
    """One sentence on a job that ended without a result."""
    if job.failure is None:
        return f"{job.id} was {job.state}"
    hint = f"\n{job.failure.hint}" if job.failure.hint else ""
    return f"{job.id} failed ({job.failure.type}): {job.failure.message}{hint}"


def points(job: WireJob) -> list[RenderableType]:
    """A table of the losses and hyperparameters of the present and the best outer step; empty before the first."""
    if job.current is None or job.best is None:
        return []
    rows = [
        (label, output.number(value), output.number(job.best.hyperparameters.get(label)))
        for label, value in job.current.hyperparameters.items()
    ]
    now, best = f"step {job.current.outer_step}", f"best (step {job.best.outer_step})"
    losses = (job.current.words, job.best_loss)
    return [output.table(("", now, best), [("validation loss", *losses), *rows], right=(now, best))]


def _live(job: Job) -> None:
    console = output.messages()
    progress = JobProgress(shown=True, console=console)
    with Live(progress.bar, console=console, refresh_per_second=8) as live:
        for wire in job.watch():
            progress.show(wire)
            live.update(Group(progress.bar, *points(wire)))


def _lines(job: Job) -> None:
    """A line for each outer step on standard output, one for each other event on standard error."""
    for event in job.events():
        step = outer_step(event)
        if step is not None:
            typer.echo(step_line(step))
        else:
            output.say(f"{event.at:%H:%M:%S} {EVENTS.get(event.type, event.type.replace('_', ' '))}", style="dim")


def step_line(step: OuterStep) -> str:
    """An outer step in one line, for output that is not a terminal."""
    values = " ".join(f"{label}={value:.4g}" for label, value in step.hyperparameters.items())
    loss = "every run diverged" if step.loss is None else f"loss {estimate(step.loss, step.stderr)}"
    ended = f" ended early {step.ended_early}" if step.ended_early else ""
    starts = "" if step.starts is None else f" starts {step.starts} leader {step.leader}"
    return (
        f"step {out_of(step.outer_step, step.outer_steps)} {loss} cost {step.run_equivalents:.1f}{ended}{starts} {values}"
    )


def _loss(loss: LossEstimate) -> str:
    accuracy = "" if loss.accuracy is None else f" ({100 * loss.accuracy:.1f} % right)"
    return f"{loss.words}{accuracy}"


def _exit_like(job: Job) -> None:
    if job.state != "succeeded":
        raise typer.Exit(ExitCode.NEGATIVE)
