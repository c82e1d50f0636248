"""``roles``: shows the muP role of every parameter of a module."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from windtunnel.cli import output
from windtunnel.cli.exits import SetupError, SpecError
from windtunnel.cli.extras import need
from windtunnel.cli.options import AsJson, RoleOverrides
from windtunnel.tasks import TASKS, UserTask, user_task
from windtunnel.tasks.references import BadReference, resolve
from windtunnel.types import ModelSpec
from windtunnel.types.families import FAMILIES, built_in
from windtunnel.types.model import with_defaults
from windtunnel.types.modules import ModuleInfo
from windtunnel.types.tensors import ROLES, Role

if TYPE_CHECKING:
    from hpo.families.own.modules import RoleTable

BUILT_IN: dict[str, str] = {
    family: task.name
    for family in built_in()
    for task in [task for task in TASKS.built_in.values() if family in task.families][:1]
}
"""Family -> a task that it can learn, which sets its numbers of inputs and outputs."""
HEADINGS = ("tensor", "base", "delta", "m_in", "m_out", "role", "why")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("roles")(roles)


def roles(
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="PACKAGE.MODULE:NAME",
            help="A function of the width that gives a torch.nn.Module, or a UserTask.",
            show_default=False,
        ),
    ] = None,
    *,
    family: Annotated[
        str | None, typer.Option(help=f"A built-in family instead: {', '.join(BUILT_IN)}.", show_default=False)
    ] = None,
    task: Annotated[str | None, typer.Option(help="An installed task of your own instead.", show_default=False)] = None,
    base: Annotated[
        int | None, typer.Option(min=1, help="First width. Default: 64, or the task's own.", show_default=False)
    ] = None,
    delta: Annotated[
        int | None, typer.Option(min=2, help="Second, larger width. Default: twice the base.", show_default=False)
    ] = None,
    overrides: RoleOverrides = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FILE",
            dir_okay=False,
            help="Write the table of a UserTask's tensors that servers read; ship it with the task's package.",
            show_default=False,
        ),
    ] = None,
    widths: Annotated[
        list[int] | None,
        typer.Option(
            "--width",
            min=1,
            help="With --save: a width that a table of rounded sizes is to have, too. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the muP role of every parameter of a module: input, hidden, output, vector or scalar, and why.

    The module is built at two widths without allocating it; the dimensions that grow tell the role. If they do not, the
    command names the tensor, and you give its role with --role. Exit code 2 if a role is missing.

    \b
    Examples:
      windtunnel roles package.module:build --base 64 --delta 128
      windtunnel roles package.module:build --role '*.position=input'
      windtunnel roles --family transformer
      windtunnel roles package.task:TASK --save src/package/module.json
    """
    if sum(source is not None for source in (reference, family, task)) != 1:
        raise typer.BadParameter("give one of PACKAGE.MODULE:NAME, --family and --task", param_hint="PACKAGE.MODULE:NAME")
    need("roles", "worker")
    from hpo.errors import HpoError

    given = dict(map(role_override, overrides or []))
    if widths and save is None:
        raise typer.BadParameter("widths are those of a table that is written: give --save FILE", param_hint="--width")
    found = modules_of(reference, family, task)
    try:
        if isinstance(found, UserTask):
            _of_task(found, base, delta, given, save, widths or [], as_json=as_json)
            return
        if save is not None:
            raise typer.BadParameter(
                "only a UserTask has a table to write; give the UserTask of your package", param_hint="--save"
            )
        from hpo.families.own.modules import roles as inferred

        first = base or (FAMILIES[family].size.width if family else 64)
        table = inferred(found, base=first, delta=delta or 2 * first, overrides=given)
    except HpoError as error:
        raise SpecError(f"{error.message}; {error.hint}" if error.hint else error.message) from error
    except (ValueError, TypeError) as error:
        raise SpecError(str(error)) from error
    _deliver(table, as_json=as_json)


def role_override(text: str) -> tuple[str, Role]:
    """Pattern and role of a text ``GLOB=ROLE``.

    Raises:
        BadParameter: the text is not of this form, or no role has this name.
    """
    pattern, equals, name = text.rpartition("=")
    role = next((role for role in ROLES if role == name), None)
    if not equals or not pattern or role is None:
        raise typer.BadParameter(
            f"{text!r} is not an override; write it like --role '*.embedding.weight=input'; roles: {', '.join(ROLES)}",
            param_hint="--role",
        )
    return pattern, role


def modules_of(reference: str | None, family: str | None, task: str | None) -> Callable[[int], Any] | UserTask:
    """The factory of modules, or the user's task, that one of the three arguments names.

    Raises:
        BadParameter: the name leads to neither.
    """
    if family is not None:
        return _of_family(family)
    if task is not None:
        brought = [name for name in TASKS if name not in TASKS.built_in]
        if task not in brought:
            known = ", ".join(brought) or "none"
            raise typer.BadParameter(f"no task of one's own is called {task!r}; known: {known}", param_hint="--task")
        return user_task(TASKS[task])
    assert reference is not None
    # As Python itself does for a script: a package in this folder need not be installed.
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = resolve(reference)
    except BadReference as error:
        raise typer.BadParameter(str(error), param_hint="PACKAGE.MODULE:NAME") from error
    if not callable(found) and not isinstance(found, UserTask):
        raise typer.BadParameter(
            f"{reference!r} is {type(found).__name__}; give a function of the width, or a UserTask",
            param_hint="PACKAGE.MODULE:NAME",
        )
    chosen: Callable[[int], Any] | UserTask = found
    return chosen


def _of_family(family: str) -> Callable[[int], Any]:
    if family not in BUILT_IN:
        raise typer.BadParameter(f"no family {family!r}; allowed: {', '.join(BUILT_IN)}", param_hint="--family")

    def build(width: int) -> Any:
        from hpo.families.registry import build as built

        given = with_defaults({"family": family, "width": width}, (family,))
        return built(ModelSpec.model_validate(given), TASKS[BUILT_IN[family]])

    return build


def _of_task(
    task: UserTask,
    base: int | None,
    delta: int | None,
    given: dict[str, Role],
    save: Path | None,
    widths: list[int],
    *,
    as_json: bool,
) -> None:
    from dataclasses import replace

    from hpo.errors import HpoError
    from hpo.families.own.describing import described

    sized = replace(task, width=base or task.width, roles={**given, **task.roles})
    if save is not None and (given or delta or base):
        raise typer.BadParameter("the table follows the task: put roles and width into it", param_hint="--save")
    try:
        table, info = described(sized, delta, widths)
    except HpoError as error:
        raise SpecError(str(error)) from error
    if save is not None:
        _write(save, info)
    _deliver(table, as_json=as_json)


def _write(file: Path, info: ModuleInfo) -> None:
    try:
        file.write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise SetupError(f"cannot write {file}: {error.strerror}") from error
    output.say(f"table of {len(info.tensors)} tensors written to {file}")


def _deliver(table: "RoleTable", *, as_json: bool) -> None:
    from hpo.families.own.modules import cells, frozen_cells

    if as_json:
        output.print_json(
            {
                "base": table.base,
                "delta": table.delta,
                "tensors": [dict(row.__dict__) for row in table.rows],
                "frozen": [law.model_dump() for law in table.frozen],
                "warnings": table.warnings,
            }
        )
        return
    parts = [output.table(HEADINGS, [*map(cells, table.rows), *map(frozen_cells, table.frozen)], right=("m_in", "m_out"))]
    output.show(*parts, *(Text(f"! {warning}", style="yellow") for warning in table.warnings))
