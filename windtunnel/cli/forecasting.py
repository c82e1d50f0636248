"""``laws forecast`` and ``laws settle``: what a law foretells of a run before it, and by how much that missed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.exits import NotForecast
from windtunnel.cli.options import AsJson, Url
from windtunnel.client import Client
from windtunnel.types.forecasts import Forecast
from windtunnel.types.laws import MOST_TO_LEAST, LawName, LawPoint

Folder = Annotated[Path, typer.Option("--folder", help="Where forecasts are kept, one file each, named by its hash.")]
FOLDER = Path("forecasts")


def forecast(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of the run, as you call it.", show_default=False)],
    *,
    fit: Annotated[str, typer.Option("--fit", metavar="LAW_ID", help="Id of the fit.", show_default=False)],
    law: Annotated[
        str | None, typer.Option("--law", help="Law of the fit. Default: the one that uses most of the sizes.")
    ] = None,
    parameters: Annotated[float | None, typer.Option("--parameters", min=1, help="N of the run.")] = None,
    tokens: Annotated[float | None, typer.Option("--tokens", min=1, help="D of the run.")] = None,
    steps_min: Annotated[float | None, typer.Option("--steps-min", min=1, help="S_min of the run.")] = None,
    compute_min: Annotated[float | None, typer.Option("--compute-min", min=1, help="C_min of the run, FLOPs.")] = None,
    folder: Folder = FOLDER,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Register what a law foretells of a run before the run: law, sizes, interval and date, in a file named by their hash.

    Publish the hash: nobody can change the forecast afterwards. One forecast a run.

    \\b
    Examples:
      windtunnel laws forecast large-1 --fit law_01KAN... --parameters 7e9 --tokens 1.4e11
      windtunnel laws settle large-1 --loss 2.31
    """
    from hpo.errors import Refused
    from hpo.laws.forecasting import forecast as foretold
    from hpo.laws.forecasting import keep

    at = LawPoint(parameters=parameters, tokens=tokens, steps_min=steps_min, compute_min=compute_min)
    with Client(url) as client:
        found = client.laws.get(fit)
    try:
        made = foretold(found, run, at, _named(law))
        path = keep(made, folder)
    except Refused as error:
        raise NotForecast(str(error)) from error
    if as_json:
        output.print_json({**made.model_dump(mode="json"), "hash": made.hash, "file": str(path)})
    else:
        output.show(*_parts(made, path))


def settle(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of the run, or the beginning of its forecast's hash.")],
    *,
    loss: Annotated[float | None, typer.Option("--loss", help="Loss that was reached, nats.", show_default=False)] = None,
    job: Annotated[
        str | None,
        typer.Option("--job", metavar="JOB_ID", help="In place of --loss: a finished job, its best validation loss."),
    ] = None,
    folder: Folder = FOLDER,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Say by how much the forecast of a run missed the loss that it reached. Ends with 1 if outside of the run's interval.

    \\b
    Examples:
      windtunnel laws settle large-1 --loss 2.31
      windtunnel laws settle large-1 --job job_01KAN...
    """
    from hpo.errors import Refused
    from hpo.laws.forecasting import settle as settled

    if (loss is None) == (job is None):
        raise typer.BadParameter("give the loss, or the job that has it", param_hint="--loss")
    if job is not None:
        with Client(url) as client:
            loss = client.jobs.get(job).result().best.validation.mean
    assert loss is not None
    try:
        made = settled(run, loss, folder)
    except Refused as error:
        raise NotForecast(str(error)) from error
    if as_json:
        output.print_json(made.model_dump(mode="json"))
    else:
        output.show(Text(made.sentence))
    if made.within is False:
        raise typer.Exit(1)


def _named(law: str | None) -> LawName | None:
    named = next((each for each in MOST_TO_LEAST if each == law), None)
    if law is not None and named is None:
        raise typer.BadParameter(f"no law of the loss {law!r}; allowed: {', '.join(MOST_TO_LEAST)}", param_hint="--law")
    return named


def _parts(made: Forecast, path: Path) -> list[RenderableType]:
    rows = [
        ("run", made.run),
        ("law", f"{made.law} of {made.fit}: {made.formula}"),
        ("foretold", f"{output.number(made.value)} nats ({output.number(made.low)} to {output.number(made.high)})"),
        ("a single run", f"{output.number(made.run_low)} to {output.number(made.run_high)}"),
        *((f"beyond, {name}", f"{factor:.3g} times the largest fitted run") for name, factor in made.beyond.items()),
        ("made", made.created_at.isoformat(timespec="seconds")),
        ("hash", made.hash),
        ("file", str(path)),
    ]
    return [*(Text(f"Warning: {warning}", style="bold") for warning in made.warnings), output.table(("", ""), rows)]
