"""``carry``: makes the config of a large model from values of one's own, without tuning."""

from pathlib import Path
from typing import Annotated, Any

import typer

from windtunnel.cli import output
from windtunnel.cli.exits import NotCarried, SpecError
from windtunnel.cli.extras import need
from windtunnel.cli.options import AsJson, RoleOverrides
from windtunnel.cli.plans import TABLE, Format, asked_format, deliver
from windtunnel.cli.roles import modules_of, role_override
from windtunnel.cli.spec_file import override, read_spec
from windtunnel.client import Client, InvalidRequest
from windtunnel.tasks import UserTask


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("carry")(carry)


def carry(
    source: Annotated[
        str,
        typer.Argument(
            metavar="VALUES",
            help="JSON or YAML file (- for standard input) with label: value (learning_rate: 0.003, "
            "learning_rate.hidden: 0.001, beta2: 0.95), or with these under values, beside optimizer, schedule, inner.",
            show_default=False,
        ),
    ],
    *,
    width: Annotated[int, typer.Option(min=1, help="Width of the large model.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PACKAGE.MODULE:NAME", help="A function of the width that gives a torch.nn.Module.", show_default=False
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="A task instead: it brings its data and the family of the model.", show_default=False),
    ] = None,
    base: Annotated[
        int | None,
        typer.Option(min=1, help="Width for which the values were found. Default: 64, or the task's.", show_default=False),
    ] = None,
    base_depth: Annotated[
        int | None, typer.Option(min=1, help="Depth for which they were found.", show_default=False)
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Depth of the large model. Default: the small one's.", show_default=False)
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Updates of its run; those of the small one are inner.steps.", show_default=False),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Examples of an update; those of the small one are inner.batch_size.", show_default=False),
    ] = None,
    examples: Annotated[int | None, typer.Option(min=1, help="Examples of its training set.", show_default=False)] = None,
    overrides: RoleOverrides = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Set a field beside the values, such as optimizer.name=sgd or inner.steps=5000. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Plan although the coordinate check speaks against it; the plan records that.")
    ] = False,
    format: Annotated[  # noqa: A002 - the option's own name
        Format,
        typer.Option(help="table for reading, json and yaml for programs; the others are for the named library."),
    ] = TABLE,
    target: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", dir_okay=False, help="Write to a file.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Let this server make and keep the plan of a task. Default: made here.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make the plan of a large model from values that a sweep of your own found for a small one. Nothing is tuned.

    Roles, rules and exports are those of a job's plan, and a coordinate check over widths is run. Exit code 4 if the
    transfer cannot be trusted.

    \b
    Examples:
      windtunnel carry values.yaml --model package.module:build --base 256 --width 4096
      windtunnel carry values.yaml --model package.module:build --base 256 --width 4096 --format torch -o large.py
      windtunnel carry values.yaml --task digits --base 64 --width 1024 --set optimizer.beta2=0.95
      windtunnel carry values.yaml --task digits --width 1024 --url https://tunnel.example
    """
    if (model is None) == (task is None):
        raise typer.BadParameter("give one of --model and --task", param_hint="--model")
    chosen = asked_format(format, target, as_json)
    wanted = _request(source, assignments or [])
    roles = dict(map(role_override, overrides or []))
    size = {"depth": depth, "steps": steps, "batch_size": batch_size, "examples": examples}
    if url is not None:
        if task is None or roles:
            raise typer.BadParameter("a server has no module of yours: --url goes with --task alone", param_hint="--url")
        small = {name: value for name, value in (("width", base), ("depth", base_depth)) if value is not None}
        wanted["model"] = {**wanted.get("model", {}), **small}
        with Client(url) as client:
            values = wanted.pop("values")
            deliver(client.plans.carry(values, task=task, width=width, force=force, **size, **wanted), chosen, target)
        return
    deliver(_made(wanted, model, task, base, base_depth, roles, width=width, force=force, **size), chosen, target)


def _request(source: str, assignments: list[str]) -> dict[str, Any]:
    """The fields of a request in a file: values alone, or values with other fields."""
    found = read_spec(source)
    if "values" not in found:
        nested = [str(name) for name, value in found.items() if isinstance(value, (dict, list))]
        if nested:
            raise SpecError(
                f"{source} has fields with several values ({', '.join(nested)}) and no values; put labels and values under "
                "values, and these beside it"
            )
        found = {"values": found}
    override(found, assignments)
    return found


def _made(
    wanted: dict[str, Any],
    model: str | None,
    task: str | None,
    base: int | None,
    base_depth: int | None,
    roles: dict[str, Any],
    **asked: Any,
) -> Any:
    need("carry", "worker", otherwise="; or let a server do it: --task TASK --url URL")
    from pydantic import ValidationError
    from pydantic_core import PydanticCustomError

    from hpo.errors import HpoError, Refused
    from service.problems.problems import field_errors, misfit_error
    from windtunnel.carrying import carry as carried
    from windtunnel.types.carry import CarryRequest

    values = wanted.pop("values")
    if not isinstance(values, dict):
        raise SpecError(f"values is {type(values).__name__}; give a mapping of labels to numbers")
    given = {"base_width": base, "base_depth": base_depth, **asked, **wanted}
    for name in ("target", "task", "force"):
        if name in wanted:
            raise SpecError(f"{name} stands in the file; give it as an option of the command")
    given |= _module(model, base, roles) if model is not None else {"task": task, "roles": roles or None}
    try:
        return carried(values, **given)
    except ValidationError as error:
        output.messages().print(output.field_table(field_errors(error.errors(), CarryRequest)))
        raise SpecError("these values cannot be carried; see the fields above") from error
    except PydanticCustomError as error:
        output.messages().print(output.field_table([misfit_error(error)]))
        raise SpecError("these values cannot be carried; see the field above") from error
    except Refused as error:
        raise NotCarried(f"{error.message}; {error.hint}" if error.hint else error.message) from error
    except HpoError as error:
        raise SpecError(f"{error.message}; {error.hint}" if error.hint else error.message) from error
    except InvalidRequest:
        raise
    except (TypeError, ValueError) as error:
        raise SpecError(str(error)) from error


def _module(reference: str, base: int | None, roles: dict[str, Any]) -> dict[str, Any]:
    """Arguments of ``windtunnel.carry`` for the module that a reference names."""
    found = modules_of(reference, None, None)
    if not isinstance(found, UserTask):
        return {"model": found, "roles": roles or None}
    given = {"roles": {**roles, **found.roles} or None, "init_std": found.init_std, "base_width": base or found.width}
    return {"model": found.builder(), **given}
