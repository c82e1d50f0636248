"""``laws``: fit scaling laws to a CSV of runs, and allocate a budget by them."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.counting import count
from windtunnel.cli.exits import SetupError
from windtunnel.cli.fits import list_fits
from windtunnel.cli.forecasting import forecast, settle
from windtunnel.cli.options import AsJson, Url
from windtunnel.client import Client
from windtunnel.types.allocations import Allocation, AllocationPlan
from windtunnel.types.laws import LawFit, LawPrediction, LawResult

commands = typer.Typer(
    name="laws",
    no_args_is_help=True,
    help="""Scaling laws: fit them to your own runs, and see how they would allocate a budget.

    \b
    Examples:
      windtunnel laws fit runs.csv
      windtunnel laws allocate --flops 1e21
      windtunnel laws count --family transformer --width 512
    """,
    context_settings={"help_option_names": ["-h", "--help"]},
)


PROFILES = {
    "iso_flop": "Best sizes by IsoFLOP profiles: a parabola in log N at each budget",
    "envelope": "Best sizes by the envelope of loss curves: the lowest at each budget",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands.command("fit")(fit)
    commands.command("list")(list_fits)
    commands.command("allocate")(allocate)
    commands.command("forecast")(forecast)
    commands.command("settle")(settle)
    commands.command("count")(count)
    app.add_typer(commands)


def fit(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE.csv",
            help="A file with one run per line; or finished jobs, job_... job_...; law_... shows an earlier fit.",
            show_default=False,
        ),
    ],
    *,
    laws: Annotated[
        list[str] | None,
        typer.Option("--law", help="A law to fit; repeat it. Default: all that the columns allow.", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the fit, for people.", show_default=False)] = "",
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out/--no-held-out", help="Fit again without the largest run, and print how well it is predicted."
        ),
    ] = True,
    warmup_steps: Annotated[
        int, typer.Option("--warmup-steps", min=0, help="Refuse rows with no more steps than this.")
    ] = 0,
    huber_delta: Annotated[
        float | None,
        typer.Option(
            "--huber-delta",
            min=0,
            help="Delta of the Huber loss, in log loss. Default: from the residuals. 1e-3, as of Hoffmann et al., is least "
            "absolute deviations.",
            show_default=False,
        ),
    ] = None,
    critical_batch: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--critical-batch",
            metavar="TOKENS EXPONENT",
            help="Constants of B_crit(L) for S_min and C_min, such as 2e8 0.21. Default: fitted to the table.",
            show_default=False,
        ),
    ] = None,
    allow_narrow: Annotated[
        bool, typer.Option("--allow-narrow", help="Fit although a size spans a decade or less, with a warning.")
    ] = False,
    tied_exponents: Annotated[
        bool, typer.Option("--tied-exponents", help="One exponent for both sizes, in laws of two sizes.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Fit scaling laws to runs: constants with 90 % intervals, and the largest run predicted from the smaller ones.

    The first line of the file names the columns: parameters (N), tokens (D), loss, batch_size, steps, compute,
    critical_batch, warmup_steps, run (the same name for points of one run). Other columns are ignored. Jobs of one task
    in place of a file: each gives one run; a job with transfer.scaling gives its whole grid.

    \b
    Examples:
      windtunnel laws fit runs.csv
      windtunnel laws fit runs.csv --law hoffmann --law loss_parameters_tokens --json
      windtunnel laws fit job_01KAN... --name digits
      windtunnel laws fit law_01KAN...
    """
    with Client(url) as client:
        first, jobs = sources[0], [each for each in sources if each.startswith("job_") and not Path(each).exists()]
        if len(sources) > 1 and len(jobs) < len(sources):
            other = next(each for each in sources if each not in jobs)
            raise SetupError(f"{other} among {len(sources)} sources; give one file, one fit, or only jobs")
        if first.startswith("law_") and not Path(first).exists():
            found = client.laws.get(first)
        else:
            batch = None if critical_batch is None else dict(zip(("tokens", "exponent"), critical_batch, strict=True))
            options: dict[str, Any] = {
                "laws": laws or [],
                "name": name or (jobs[0] if jobs else Path(first).stem),
                "held_out": held_out,
                "warmup_steps": warmup_steps,
                "huber_delta": huber_delta,
                "allow_narrow": allow_narrow,
                "tied_exponents": tied_exponents,
                "critical_batch": batch,
            }
            found = client.laws.fit(jobs=jobs, **options) if jobs else client.laws.fit(_text(Path(first)), **options)
    if as_json:
        output.print_json(found.model_dump(mode="json"))
    else:
        output.show(*_fit_parts(found))


def allocate(
    *,
    flops: Annotated[
        float | None, typer.Option("--flops", help="Operations of the training run, such as 1e21.", show_default=False)
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", help="Length of the run in seconds; needs --flops-per-second.", show_default=False),
    ] = None,
    money: Annotated[
        float | None,
        typer.Option(
            "--money", help="Price of the run; needs --price-per-hour and --flops-per-second.", show_default=False
        ),
    ] = None,
    flops_per_second: Annotated[
        float | None,
        typer.Option("--flops-per-second", help="Speed of the whole machine, utilisation included.", show_default=False),
    ] = None,
    price_per_hour: Annotated[
        float | None, typer.Option("--price-per-hour", help="Price of the whole machine for an hour.", show_default=False)
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option("--fit", metavar="LAW_ID", help="Id of a fit whose laws are shown as well.", show_default=False),
    ] = None,
    batch_size: Annotated[
        float | None,
        typer.Option("--batch-size", help="Tokens of an update. Default: the critical batch size.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Allocate a compute, time or money budget: N, B, S and D by Kaplan's law and by Hoffmann's, and why they differ.

    \b
    Examples:
      windtunnel laws allocate --flops 1e21
      windtunnel laws allocate --seconds 604800 --flops-per-second 4e17 --fit law_01KAN...
      windtunnel laws allocate --money 10000 --price-per-hour 16 --flops-per-second 3e15 --json
    """
    budget = {
        "flops": flops,
        "seconds": seconds,
        "money": money,
        "flops_per_second": flops_per_second,
        "price_per_hour": price_per_hour,
        "batch_size": batch_size,
    }
    with Client(url) as client:
        plan = client.laws.allocate(fit=fit, **budget)
    if as_json:
        output.print_json(plan.model_dump(mode="json"))
    else:
        output.show(*_plan_parts(plan))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SetupError(f"{file} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise SetupError(f"cannot read {file}: {error.strerror}") from error


def _fit_parts(found: LawFit) -> list[RenderableType]:
    facts = [("fit", found.id), ("rows", f"{found.rows:,} of {', '.join(found.columns)}")]
    if found.ignored_columns:
        facts.append(("ignored", ", ".join(found.ignored_columns)))
    parts: list[RenderableType] = [output.table(("", ""), facts)]
    for law in found.laws:
        parts += _law_parts(law)
    for each in found.profiles:
        heads = ("budget, FLOPs", "best N", "low", "high", "tokens a parameter", "loss")
        best = [
            tuple(map(output.number, (p.compute, p.parameters, p.low, p.high, p.tokens / p.parameters, p.loss)))
            for p in each.points
        ]
        told = f"N ~ C^{each.exponent:.3f} ({each.low:.3f} to {each.high:.3f}); {each.left_out}"
        parts += [Text(f"\n{PROFILES[each.method]}", style="bold"), output.table(heads, best, right=heads), Text(told)]
    if found.refusals:
        rows = [(each.law, each.message, each.hint) for each in found.refusals]
        parts += [Text(), output.table(("not fitted", "why", "what to do"), rows)]
    return parts


def _law_parts(law: LawResult) -> list[RenderableType]:
    rows = [(each.name, *(output.number(value) for value in (each.value, each.low, each.high))) for each in law.constants]
    heads = ("constant", "value", "low", "high")
    lines = [f"{law.rows} rows, residual {100 * law.residual:.2f} %; {law.interval}"]
    if law.held_out is not None:
        held, told = law.held_out, law.held_out.prediction
        lines.append(
            f"largest run, held out: {output.number(held.actual)}, predicted {output.number(told.value)} "
            f"({output.number(told.low)} to {output.number(told.high)}"
            f"{_of_a_run(told)}), miss {100 * held.miss:+.2f} %"
        )
    elif law.held_out_missing:
        lines.append(f"no run held out: {law.held_out_missing}")
    return [
        Text(f"\n{law.law}: {law.formula}", style="bold"),
        output.table(heads, rows, right=heads[1:]),
        *(Text(f"Warning: {warning}", style="bold") for warning in law.warnings),
        *map(Text, [*lines, *law.notes]),
    ]


def _of_a_run(told: LawPrediction) -> str:
    if told.run_low is None or told.run_high is None:
        return ""
    return f"; a single run {output.number(told.run_low)} to {output.number(told.run_high)}"


def _plan_parts(plan: AllocationPlan) -> list[RenderableType]:
    names = [each.law for each in plan.allocations]

    def row(title: str, value: str, power: str | None = None) -> tuple[str, ...]:
        cells = []
        for each in plan.allocations:
            grown = f" ~ C^{each.powers[power]:.2f}" if power else ""
            cells.append(output.number(getattr(each, value)) + grown)
        return (title, *cells)

    rows = [
        row("N, parameters", "parameters", "parameters"),
        ("  90 % interval", *(_spread(each.parameters_low, each.parameters_high) for each in plan.allocations)),
        row("D, tokens", "tokens", "tokens"),
        ("  90 % interval", *(_spread(each.tokens_low, each.tokens_high) for each in plan.allocations)),
        row("B, tokens an update", "batch_size", "batch_size"),
        row("S, updates", "steps", "steps"),
        row("S_min", "steps_min"),
        row("C_min, FLOPs", "compute_min"),
        row("B_crit, tokens", "critical_batch"),
        row("tokens a parameter", "tokens_per_parameter"),
        row("data against overfitting", "data_against_overfitting"),
        ("loss, nats", *map(_loss, plan.allocations)),
        ("residual of the fit", *(_percent(each.residual) for each in plan.allocations)),
        ("held-out miss", *(_percent(each.held_out_miss) for each in plan.allocations)),
    ]
    parts: list[RenderableType] = [
        *(Text(f"Warning: {warning}", style="bold") for warning in _plan_warnings(plan)),
        Text(f"{plan.budget} ({plan.pf_days:.4g} PF-days)"),
        Text(),
        output.table(("", *names), rows, right=names),
    ]
    for each in plan.allocations:
        parts += [Text(f"\n{each.law} at other batch sizes, the same loss ({each.source})", style="bold"), _choices(each)]
        parts += [Text(note) for note in each.notes]
    return [*parts, Text("\nWhy they differ", style="bold"), *(Text(f"- {sentence}") for sentence in plan.why)]


def _plan_warnings(plan: AllocationPlan) -> list[str]:
    return [*plan.warnings, *(f"{each.law}: {warning}" for each in plan.allocations for warning in each.warnings)]


def _spread(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{output.number(low)} to {output.number(high)}"


def _loss(each: Allocation) -> str:
    if each.low is None or each.high is None:
        return output.number(each.loss)
    return f"{output.number(each.loss)} ({output.number(each.low)} to {output.number(each.high)})"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2g} %"


def _choices(each: Allocation) -> RenderableType:
    heads = ("batch", "steps", "tokens", "time", "compute", "seconds")
    rows = [
        (
            output.number(choice.batch_size),
            output.number(choice.steps),
            output.number(choice.tokens),
            f"x {choice.time_share:.2f}",
            f"x {choice.compute_share:.2f}",
            output.number(choice.seconds),
        )
        for choice in each.trade_off
    ]
    return output.table(heads, rows, right=heads)
