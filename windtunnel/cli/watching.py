"""Shows a job while it runs, and its outcome."""

from typing import Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.exits import ExitCode
from windtunnel.client import Job, JobProgress, Result
from windtunnel.types import Job as WireJob
from windtunnel.types import LossEstimate, OuterStep
from windtunnel.types.jobs import out_of


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
        for step in job.follow():
            typer.echo(step_line(step))
    job.refresh()
    print_outcome(job, as_json=False)


def wait_for_end(job: Job, timeout: float | None) -> None:
    """Show a progress bar until the job ends.

    Raises:
        WaitTimeout: the job did not end in time.
    """
    with JobProgress() as bar:
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
    return [
        output.table((unit(result.best.test), "start", "best"), losses, right=("start", "best")),
        Text(),
        output.table(("hyperparameter", "start", "best"), values, right=("start", "best")),
        Text(f"\ncost {result.cost.run_equivalents:.1f} runs of the proxy, {result.cost.wall_seconds:.0f} s"),
        *ended,
        *grid,
        *proof,
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
    losses = [f"{point.loss:.4f} ± {point.stderr:.4f}" for point in (job.current, job.best)]
    return [output.table(("", now, best), [("validation loss", *losses), *rows], right=(now, best))]


def _live(job: Job) -> None:
    console = output.messages()
    progress = JobProgress(shown=True, console=console)
    with Live(progress.bar, console=console, refresh_per_second=8) as live:
        for wire in job.watch():
            progress.show(wire)
            live.update(Group(progress.bar, *points(wire)))


def step_line(step: OuterStep) -> str:
    """An outer step in one line, for output that is not a terminal."""
    values = " ".join(f"{label}={value:.4g}" for label, value in step.hyperparameters.items())
    loss = "every run diverged" if step.loss is None else f"loss {step.loss:.4f} ± {step.stderr:.4f}"
    ended = f" ended early {step.ended_early}" if step.ended_early else ""
    starts = "" if step.starts is None else f" starts {step.starts} leader {step.leader}"
    return (
        f"step {out_of(step.outer_step, step.outer_steps)} {loss} cost {step.run_equivalents:.1f}{ended}{starts} {values}"
    )


def _loss(estimate: LossEstimate) -> str:
    accuracy = "" if estimate.accuracy is None else f" ({100 * estimate.accuracy:.1f} % right)"
    return f"{estimate.mean:.4f} ± {estimate.stderr:.4f}{accuracy}"


def _exit_like(job: Job) -> None:
    if job.state != "succeeded":
        raise typer.Exit(ExitCode.NEGATIVE)
