"""``plan``: makes, shows and exports the config of the large model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import RenderableType
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.exits import SetupError
from windtunnel.cli.options import AsJson, Url
from windtunnel.client import Client, Plan
from windtunnel.types import RoleRow
from windtunnel.types.exports import EXPORTS, WHOLE

TABLE = "table"
"""Name of the default output, a table to read, beside the export formats."""
if TYPE_CHECKING:
    Format = str
else:
    Format = Literal[TABLE, *EXPORTS]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


def plan(
    source: Annotated[
        str,
        typer.Argument(metavar="ID", help="Id of a finished job; plan_... shows an earlier plan.", show_default=False),
    ],
    *,
    width: Annotated[
        int | None, typer.Option(min=1, help="Units of each hidden layer of the large model.", show_default=False)
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Number of its hidden layers. Default: the proxy's.", show_default=False)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimizer updates of its run. Default: the proxy's.", show_default=False)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Examples of an update; adjusts the learning rate. Default: the proxy's.", show_default=False
        ),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            min=1, help="Examples of its training set; adjusts the decay. Default: the proxy's.", show_default=False
        ),
    ] = None,
    law_fit: Annotated[
        str | None,
        typer.Option("--law-fit", metavar="LAW_ID", help="Predict the loss by a scaling-law fit.", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Plan although the job's measurements speak against it; the plan records that.")
    ] = False,
    format: Annotated[  # noqa: A002 - the option's own name
        Format,
        typer.Option(help="table for reading, json and yaml for programs; the others are Python for the named library."),
    ] = TABLE,
    target: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", dir_okay=False, help="Write to a file.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make the plan for a large model from a job's result: learning rate, decay and initialisation of every tensor.

    With the id of a job and --width: makes a plan. With only the id of a job: shows the last plan made from it.
    With the id of a plan: shows that plan. Exit code 4 if the transfer cannot be trusted.

    \b
    Examples:
      windtunnel plan job_01KAN... --width 4096 --steps 20000
      windtunnel plan job_01KAN... --width 4096 --batch-size 256 --examples 1000000
      windtunnel plan job_01KAN... --width 4096 --format torch -o large_model.py
      windtunnel plan plan_01KAN... --format optax -o large_optimizer.py
      windtunnel plan plan_01KAN... --format yaml
    """
    chosen = asked_format(format, target, as_json)
    size = {"width": width, "depth": depth, "steps": steps, "batch_size": batch_size, "examples": examples}
    sized = force or law_fit is not None or any(value is not None for value in size.values())
    if source.startswith("plan_") and sized:
        raise typer.BadParameter(
            f"{source} is a plan and its size is fixed; give the id of its job to make another", param_hint="ID"
        )
    if sized and width is None:
        raise typer.BadParameter("a plan needs the width of the large model", param_hint="--width")
    with Client(url) as client:
        if source.startswith("plan_"):
            made = client.plans.get(source)
        elif width is not None:
            others = {name: value for name, value in size.items() if name != "width"}
            made = client.jobs.find(source).plan(width=width, **others, law_fit=law_fit, force=force)
        else:
            made = _last(client, source)
        deliver(made, chosen, target)


def asked_format(format: Format, target: Path | None, as_json: bool) -> Format:  # noqa: A002
    """The format to write, from the options; a refusal where they contradict each other."""
    if as_json and format not in (TABLE, WHOLE):
        raise typer.BadParameter(f"--json and --format {format} contradict each other", param_hint="--json")
    if target is not None and format == TABLE and not as_json:
        raise typer.BadParameter(f"say in which format: --format {', '.join(EXPORTS)}", param_hint="--output")
    return WHOLE if as_json else format


def _last(client: Client, job_id: str) -> Plan:
    plans = client.jobs.find(job_id).plans
    if not plans:
        raise typer.BadParameter(
            f"no plan was made from {job_id} yet; give the width of the large model", param_hint="--width"
        )
    return client.plans.get(plans[-1])


def deliver(made: Plan, chosen: Format, target: Path | None) -> None:
    """Print a plan in a format, or write it to a file."""
    if chosen == TABLE:
        output.show(*_parts(made))
        return
    text = made.to(chosen)
    if target is None:
        typer.echo(text, nl=not text.endswith("\n"))
        return
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"cannot write {target}: {error.strerror}") from error
    output.say(f"{made.id} written to {target}")


def _parts(made: Plan) -> list[RenderableType]:
    check = made.coordinate_check
    facts = [
        ("plan", made.id + (" (forced)" if made.forced else "")),
        ("job", made.job_id or "none: values that were given"),
        (
            "model",
            f"width {made.model.width} -> {made.width}, depth {made.model.depth} -> {made.depth}, "
            f"{made.parameters:,} parameters",
        ),
        ("training", f"{made.steps:,} steps of batch {made.batch_size}, {made.optimizer}, {made.schedule.name} schedule"),
        ("optimizer", ", ".join(_optimizer(made))),
        ("coordinate check", "none" if check is None else f"{check.verdict}, widths {', '.join(map(str, check.widths))}"),
        *([("ladder", made.ladder.learning_rate.sentence)] if made.ladder else []),
        *([("critical batch", made.noise_scale.sentence)] if made.noise_scale else []),
        *([("N", f"{made.non_embedding:,} without embeddings")] if made.non_embedding else []),
        *([("C = 6 N B S", f"{made.compute:.4g} FLOPs; left out: {made.compute_leaves_out}")] if made.compute else []),
        *([("predicted loss", made.predicted_loss.sentence)] if made.predicted_loss else []),
        *([("cost of tuning", _cost(made.tuning_share))] if made.tuning_share is not None else []),
    ]
    headings = ("role", "tensors", "learning rate", "weight decay", "init std", "eps", "multiplier")
    parts: list[RenderableType] = [
        output.table(("", ""), facts),
        Text(),
        output.table(headings, map(_row, made.rows), right=headings[1:]),
        Text(),
        _formulas(made.rows),
        Text(_ratios(made), style="dim"),
    ]
    if made.not_covered:
        parts.append(Text("\nnot covered by the theory", style="bold"))
        parts += [Text(f"  {item}") for item in made.not_covered]
    return parts


def _ratios(made: Plan) -> str:
    width = f"m = {made.width_ratio:g}, width of the target over width of the proxy"
    if made.depth_rule != "completep":
        return width
    return f"{width}; m_L = {made.depth_ratio:g}, likewise of the depths (CompleteP with alpha {made.depth_exponent:g})"


def _optimizer(made: Plan) -> list[str]:
    values = (("momentum", made.momentum), ("beta1", made.beta1), ("beta2", made.beta2), ("clip norm", made.clip_norm))
    numbers = [f"{name} {output.number(value)}" for name, value in values if value is not None]
    return [*numbers, *(f"{name} {value}" for name, value in made.optimizer_options.items())]


def _row(row: RoleRow) -> tuple[str, ...]:
    return (
        row.role,
        str(row.tensors),
        _moved(row.base_learning_rate, row.learning_rate),
        _moved(row.base_weight_decay, row.weight_decay),
        output.number(row.init_std, "by tensor"),
        output.number(row.eps),
        output.number(row.multiplier, "by tensor"),
    )


def _moved(base: float | None, value: float | None) -> str:
    """A value in the proxy and in the target, as text: ``0.01 -> 0.0025``."""
    target = output.number(value, "by tensor")
    return target if base is None else f"{output.number(base)} -> {target}"


def _formulas(rows: list[RoleRow]) -> RenderableType:
    """A table of the formulas behind the values, one row for each role."""
    quantities = list(dict.fromkeys(quantity for row in rows for quantity in row.formulas))
    headings = ("formulas", *[quantity.replace("_", " ") for quantity in quantities])
    return output.table(headings, [(row.role, *[row.formulas.get(name, "-") for name in quantities]) for row in rows])


def _cost(share: float) -> str:
    return f"{share:.1%} of one run of the large model" if share < 1 else f"{share:.1f} runs of the large model"
