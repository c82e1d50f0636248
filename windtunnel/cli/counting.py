"""``laws count``: counts a model's parameters and FLOPs for scaling laws, and what 6 N leaves out."""

from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.exits import SpecError
from windtunnel.cli.extras import need
from windtunnel.cli.options import AsJson
from windtunnel.cli.roles import BUILT_IN, modules_of, role_override
from windtunnel.tasks import TASKS, UserTask
from windtunnel.types.model import ModelSpec, with_defaults
from windtunnel.types.sizes import ModelCount


def count(
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="PACKAGE.MODULE:NAME", help="A function of the width that gives a torch.nn.Module.", show_default=False
        ),
    ] = None,
    *,
    family: Annotated[
        str | None, typer.Option(help=f"A built-in family instead: {', '.join(BUILT_IN)}.", show_default=False)
    ] = None,
    width: Annotated[int, typer.Option(min=2, help="Width of the model to count.")] = 256,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Depth of a built-in family. Default: the family's.", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="GLOB=ROLE",
            help="Role of tensors whose shapes do not tell it. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count N without embeddings, FLOPs of a token, and memory; say what 6 N leaves out.

    A module is counted by the role of each parameter, without allocating it. To count the attention over the context, give
    an example in Python: windtunnel.count(build, width, example=...).

    \b
    Examples:
      windtunnel laws count --family transformer --width 512 --depth 8
      windtunnel laws count package.module:build --width 1024
    """
    if (reference is None) == (family is None):
        raise typer.BadParameter("give one of PACKAGE.MODULE:NAME and --family", param_hint="PACKAGE.MODULE:NAME")
    need("laws count", "worker")
    if family is None:
        if depth is not None:
            raise typer.BadParameter("a module's depth is set by its function, not by --depth", param_hint="--depth")
        found = modules_of(reference, None, None)
        if isinstance(found, UserTask):
            raise typer.BadParameter("give the function of the width, not the task", param_hint="PACKAGE.MODULE:NAME")
        from windtunnel.inspecting import count as counted

        try:
            made = counted(found, width, overrides=dict(map(role_override, overrides or [])))
        except (ValueError, TypeError) as error:
            raise SpecError(str(error)) from error
    else:
        made = _of_family(family, width, depth)
    if as_json:
        output.print_json(made.model_dump(mode="json"))
    else:
        output.show(output.table(("", ""), _rows(made)), Text(), output.table(("role", "parameters"), _roles(made)))


def _of_family(family: str, width: int, depth: int | None) -> ModelCount:
    from hpo.laws.counting import count as counted

    if family not in BUILT_IN:
        raise typer.BadParameter(f"no family {family!r}; allowed: {', '.join(BUILT_IN)}", param_hint="--family")
    sizes = {"width": width} | ({} if depth is None else {"depth": depth})
    try:
        model = ModelSpec.model_validate(with_defaults({"family": family, **sizes}, (family,)))
    except ValidationError as error:
        raise SpecError(str(error)) from error
    return counted(model, TASKS[BUILT_IN[family]])


def _rows(made: ModelCount) -> list[tuple[str, str]]:
    return [
        ("N, without embeddings", f"{made.non_embedding:,}"),
        ("all parameters", f"{made.parameters:,}"),
        ("embeddings, readout", f"{made.embedding:,}, {made.readout:,}"),
        ("6 N, FLOPs a token", output.number(made.flops_per_token)),
        ("as computed, FLOPs a token", output.number(made.exact_flops_per_token)),
        ("6 N leaves out", made.left_out),
        ("tokens an example", f"{made.tokens_per_example:,}"),
        ("kept for the backward pass", f"{made.activation_bytes:,} bytes an example" if made.activation_bytes else "-"),
        (f"weights and state, {made.optimizer}", f"{made.optimizer_bytes:,} bytes"),
    ]


def _roles(made: ModelCount) -> list[tuple[str, str]]:
    return [(role, f"{size:,}") for role, size in made.roles.items()]
