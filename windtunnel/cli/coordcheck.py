"""``coordcheck``: measures whether activations keep their size when the width grows."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import RenderableType
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.exits import ExitCode, SetupError, SpecError
from windtunnel.cli.extras import need
from windtunnel.cli.options import AsJson, Url
from windtunnel.cli.roles import modules_of, role_override
from windtunnel.cli.spec_file import override, read_spec
from windtunnel.cli.submitting import Assignments
from windtunnel.client import Client
from windtunnel.tasks import TASKS, UserTask
from windtunnel.types import CoordinateCheck, CoordinateSlope, JobSpec, is_dataset
from windtunnel.types.kinds import listed
from windtunnel.types.optimizers import OPTIMIZERS
from windtunnel.types.results import CoordinateQuantity

COLOURS = {"pass": "green", "inconclusive": "yellow", "fail": "bold red", "exempt": "dim"}
FORMATS = (".png", ".svg", ".pdf", ".html")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("coordcheck")(coordcheck)


def coordcheck(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help=f"A task ({', '.join(TASKS)}), a JSON or YAML file with a job spec (- for standard input), a job's id, or "
            "PACKAGE.MODULE:NAME, a function of the width that gives a torch.nn.Module.",
            show_default=False,
        ),
    ],
    *,
    widths: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Two or more widths, rising: 64,128,256. Default: widths that take seconds.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, max=256, help="Initialisations at each width. Default: 4 to 6.", show_default=False)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Optimizer updates. Default: 4.", show_default=False)
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            min=0,
            help="Learning rate of every tensor at the proxy's width. Default: a large one.",
            show_default=False,
        ),
    ] = None,
    parametrization: Annotated[
        str | None, typer.Option(help="In place of the spec's, such as mup or standard.", show_default=False)
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help=f"Over the spec's: {listed(OPTIMIZERS, 'or')}.", show_default=False)
    ] = None,
    assignments: Assignments = None,
    base: Annotated[
        int | None,
        typer.Option(min=1, help="Of a module: width at which its own start is taken. Default: 64.", show_default=False),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="GLOB=ROLE",
            help="Of a module: role of the tensors whose names match, if their shapes do not tell it. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure",
            metavar="FILE",
            dir_okay=False,
            help="Draw the check: .html; or .png, .svg, .pdf with the package kaleido.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Train a few steps at each of several widths, and say whether sizes of activations change with the width.

    Runs on this machine with the values of the spec (for a task: the defaults) and no search. With the id of a job: shows
    the check that the job made. Exit code 4 if the check fails: values tuned on a narrow model do not fit a wide one.

    \b
    Examples:
      windtunnel coordcheck digits
      windtunnel coordcheck digits --parametrization standard --optimizer sgd
      windtunnel coordcheck spec.yaml --widths 64,128,256,512,1024 --seeds 5 --figure check.html
      windtunnel coordcheck package.module:build --base 256 --widths 64,128,256
      windtunnel coordcheck job_01KAN... --json
    """
    if figure is not None and figure.suffix not in FORMATS:
        raise typer.BadParameter(f"{figure} ends in none of {', '.join(FORMATS)}", param_hint="--figure")
    if figure is not None and figure.suffix != ".html" and find_spec("kaleido") is None:
        raise SetupError(f"drawing {figure.suffix} needs the package kaleido: pip install kaleido, or write .html")
    settings = {"seeds": seeds, "steps": steps, "learning_rate": learning_rate}
    given = {name: value for name, value in settings.items() if value is not None}
    if source.startswith("job_"):
        if given or widths or parametrization or optimizer or assignments:
            raise typer.BadParameter(
                f"the check of {source} was made and is only shown; give a task or a spec to make another",
                param_hint="SOURCE",
            )
        check = _stored(source, url)
    elif _is_module(source):
        chosen = None if widths is None else _widths(widths)
        fields = _fields({}, parametrization, optimizer, assignments or [])
        check = _of_module(source, fields, chosen, base, dict(map(role_override, overrides or [])), given)
    else:
        if base is not None or overrides:
            raise typer.BadParameter("base and roles are those of a module: PACKAGE.MODULE:NAME", param_hint="SOURCE")
        chosen = None if widths is None else _widths(widths)
        check = _measured(_spec(source, parametrization, optimizer, assignments or []), chosen, given)
    if figure is not None:
        _draw(check, figure)
    if as_json:
        output.print_json(check.model_dump(mode="json"))
    else:
        output.show(*_parts(check))
    if check.verdict == "fail":
        raise typer.Exit(ExitCode.REFUSED)


def _stored(job_id: str, url: str | None) -> CoordinateCheck:
    with Client(url) as client:
        check = client.jobs.find(job_id).result().coordinate_check
    if check is None:
        raise typer.BadParameter(
            f"{job_id} made no coordinate check: its parametrization makes no claim about widths", param_hint="SOURCE"
        )
    return check


def _widths(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"{text!r} is not a list of widths; write it like 64,128,256", param_hint="--widths")
    return [int(part) for part in parts]


def _spec(source: str, parametrization: str | None, optimizer: str | None, assignments: Sequence[str]) -> dict[str, Any]:
    wanted: dict[str, Any] = {"task": source} if source in TASKS else read_spec(source)
    # The plan's target says nothing about the check, and may not go with another parametrization.
    wanted.pop("target", None)
    return _fields(wanted, parametrization, optimizer, assignments)


def _fields(
    wanted: dict[str, Any], parametrization: str | None, optimizer: str | None, assignments: Sequence[str]
) -> dict[str, Any]:
    """Fields of a spec with what the options set."""
    if parametrization is not None:
        wanted["parametrization"] = parametrization
    if optimizer is not None:
        # What the spec says about another optimizer (momentum, betas) would not be valid for this one.
        said = wanted.get("optimizer")
        if not isinstance(said, dict) or said.get("name") != optimizer:
            wanted["optimizer"] = {"name": optimizer}
    override(wanted, assignments)
    return wanted


def _is_module(source: str) -> bool:
    """Whether the source names an object of a module, and is no file."""
    return ":" in source and source not in TASKS and not Path(source).exists()


def _of_module(
    reference: str,
    fields: dict[str, Any],
    widths: list[int] | None,
    base: int | None,
    roles: dict[str, Any],
    settings: dict[str, Any],
) -> CoordinateCheck:
    need("coordcheck", "worker", otherwise="; or ask for that of a job: windtunnel coordcheck ID")
    from pydantic import ValidationError

    from hpo.errors import HpoError
    from service.problems.problems import field_errors
    from windtunnel.carrying import check_module

    found = modules_of(reference, None, None)
    build: Callable[..., Any]
    if isinstance(found, UserTask):
        base, roles, build = base or found.width, {**roles, **found.roles}, found.builder()
    else:
        build = found
    try:
        return check_module(build, fields, widths, base_width=base, roles=roles or None, **settings)
    except ValidationError as error:
        output.messages().print(output.field_table(field_errors(error.errors(), JobSpec)))
        raise SpecError("this module cannot be checked so; see the fields above") from error
    except HpoError as error:
        raise SpecError(f"{error.message}; {error.hint}" if error.hint else error.message) from error
    except (TypeError, ValueError) as error:
        raise SpecError(str(error)) from error


def _measured(wanted: dict[str, Any], widths: list[int] | None, settings: dict[str, Any]) -> CoordinateCheck:
    need("coordcheck", "worker", otherwise="; or ask for that of a job: windtunnel coordcheck ID")
    from pydantic import ValidationError

    from hpo.errors import HpoError
    from hpo.evidence.coordcheck import coordinate_check
    from service.problems.problems import field_errors

    if is_dataset(str(wanted.get("task"))):
        raise SpecError(
            f"{wanted['task']} is a data set that was uploaded to a server, which has the data; submit the job there, and "
            "ask for its check: windtunnel coordcheck ID"
        )
    try:
        spec = JobSpec.model_validate(wanted)
    except ValidationError as error:
        output.messages().print(output.field_table(field_errors(error.errors(), JobSpec)))
        raise SpecError("this spec cannot be checked; see the fields above") from error
    try:
        return coordinate_check(spec, {}, widths, **settings)
    except HpoError as error:
        raise SpecError(str(error)) from error
    except ValueError as error:
        raise SpecError(str(error)) from error


def _draw(check: CoordinateCheck, file: Path) -> None:
    # Plotly takes most of a second to import.
    from windtunnel import figures

    drawn = figures.coordinate_check(check)
    try:
        if file.suffix == ".html":
            drawn.write_html(file)
        else:
            drawn.write_image(file, width=900, scale=2)
    except OSError as error:
        raise SetupError(f"cannot write {file}: {error.strerror}") from error
    except RuntimeError as error:
        raise SetupError(f"kaleido cannot draw {file}: {error}; write .html") from error
    output.say(f"figure written to {file}")


def _parts(check: CoordinateCheck) -> list[RenderableType]:
    widths = [str(width) for width in check.widths]
    facts = [
        ("verdict", Text(check.verdict, style=COLOURS[check.verdict])),
        ("run", f"{check.steps} steps, {check.seeds} seeds, learning rate {output.number(check.learning_rate)}"),
    ]
    parts: list[RenderableType] = [output.table(("", ""), facts)]
    headings = ("exponent", "95 % interval")
    for title, column, quantity, rows in (
        ("mean |change| of outputs", "module", "change", check.sizes),
        ("spectral norm of the update / sqrt(fan_out / fan_in)", "matrix", "update_norm", check.update_norms),
        ("spectral norm / sqrt(fan_out / fan_in) (shown, not judged)", "matrix", "weight_norm", check.weight_norms),
    ):
        if rows:
            parts += [Text(), _table(check, title, column, quantity, rows)]
    regimes: dict[CoordinateQuantity, list[float]] = {
        "kernel_change": check.kernel_change,
        "linearisation_error": check.linearisation_error,
    }
    regime_rows = [
        (name.replace("_", " "), *map(_short, values), *_exponent(check.last(name).get("network")))
        for name, values in regimes.items()
        if values
    ]
    errors = check.loss_errors
    losses = [f"{loss:.3f}" + (f" ± {errors[index]:.3f}" if errors else "") for index, loss in enumerate(check.losses)]
    regime_rows.append(("training loss", *losses, "", "", Text()))
    titled = ("", *widths, *headings, "verdict")
    parts += [Text(), output.table(titled, regime_rows, right=widths, title="whole network")]
    parts += [Text(f"\n{reason}") for reason in check.reasons]
    return parts


def _table(check: CoordinateCheck, title: str, column: str, quantity: str, rows: dict[str, list[float]]) -> RenderableType:
    widths = [str(width) for width in check.widths]
    name = next(name for name in get_args(CoordinateQuantity) if name == quantity)
    found = check.last(name)
    cells = [(module, *map(_short, sizes), *_exponent(found.get(module))) for module, sizes in rows.items()]
    return output.table(
        (column, *widths, "exponent", "95 % interval", "verdict"), cells, right=(*widths, "exponent"), title=title
    )


def _exponent(slope: CoordinateSlope | None) -> tuple[str, str, Text]:
    if slope is None:
        return ("-", "-", Text())
    between = "-" if slope.low is None or slope.high is None else f"{slope.low:+.2f} to {slope.high:+.2f}"
    verdict = Text(slope.verdict, style=COLOURS[slope.verdict]) if slope.decides else Text()
    return (f"{slope.slope:+.2f}", between, verdict)


def _short(value: float) -> str:
    return f"{value:.3g}"
