"""``estimate``: prints the runs, seconds and memory that a job would take."""

import typer
from rich.console import RenderableType
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.options import AsJson, Url
from windtunnel.cli.submitting import Assignments, Source, Task, wanted_spec
from windtunnel.client import Client
from windtunnel.types.estimates import Estimate


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("estimate")(estimate)


def estimate(
    spec: Source = None,
    *,
    task: Task = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Print the runs, seconds and memory that a job would take, without starting it; if it does not fit, what to change.

    Exit code 0 even if it does not fit; with --json, memory.fits says whether it does.

    \b
    Examples:
      windtunnel estimate --task digits
      windtunnel estimate spec.yaml --set inner.steps=10000 --set method.estimator=forward
    """
    with Client(url) as client:
        found = client.estimate(wanted_spec(spec, task, None, assignments or []))
    if as_json:
        output.print_json(found.model_dump(mode="json"))
    else:
        output.show(*_parts(found))


def _parts(found: Estimate) -> list[RenderableType]:
    memory = found.memory
    facts = [
        ("proxy", f"{found.parameters:,} parameters, {found.hyperparameters} hyperparameters"),
        ("estimator", found.estimator + _kept(found)),
        ("cost", f"{found.run_equivalents:,.0f} runs of the proxy"),
        (
            "time",
            f"about {found.seconds:,.0f} s on {found.measured_by or 'a reference core: no worker has measured its own'}",
        ),
        (
            "memory",
            f"{memory.peak / 2**20:,.0f} MiB of {memory.limit / 2**20:,.0f} MiB, {memory.members} plain runs at a time",
        ),
    ]
    rows = [(part.phase, f"{part.run_equivalents:,.1f}", f"{part.seconds:,.1f}") for part in found.phases]
    parts: list[RenderableType] = [output.table(("", ""), facts), Text()]
    parts.append(output.table(("phase", "runs", "seconds"), rows, right=("runs", "seconds")))
    parts += [Text(note) for note in found.notes]
    if found.changes:
        parts += [Text("\nIt does not fit. One of these would do:", style="bold red"), output.field_table(found.changes)]
    return parts


def _kept(found: Estimate) -> str:
    """Words on the states that the reverse pass keeps; empty for an estimator that keeps none."""
    if found.checkpointing == "-":
        return ""
    where = f", states in a file of {found.file_bytes / 2**20:,.0f} MiB" if found.file_bytes else ""
    return f", checkpointing {found.checkpointing}{where}"
