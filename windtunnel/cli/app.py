"""The tree of commands, and the place where errors become a message and an exit code."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from windtunnel import __version__
from windtunnel.cli import (
    agents,
    carrying,
    comparing,
    coordcheck,
    datasets,
    db,
    deleting,
    doctor,
    estimating,
    exporting,
    jobs,
    keys,
    laws,
    plans,
    roles,
    serving,
    submitting,
    webhooks,
    workers,
)
from windtunnel.cli.exits import MEANINGS, exit_code
from windtunnel.cli.output import explain
from windtunnel.client import WindtunnelError

HELP = """Tune small, fly large: tune a small proxy by its hypergradient, get the config of the large model.

\b
Examples:
  windtunnel serve                          the service and one worker on this machine
  windtunnel submit --task digits --follow  tune a job and watch it
  windtunnel plan ID --width 4096           the config of a model of width 4096
  windtunnel laws allocate --flops 1e21     how to spend a compute budget

\b
Exit codes:
""" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


class Boundary(TyperGroup):
    """Command group that turns ``WindtunnelError`` into a message and an exit code; other errors keep their trace."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error raised on purpose ends in its exit code."""
        try:
            return super().invoke(ctx)
        except WindtunnelError as error:
            explain(error)
            raise typer.Exit(exit_code(error)) from error


app = typer.Typer(
    cls=Boundary,
    name="windtunnel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=HELP,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"windtunnel {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None: ...


own = (datasets, keys, webhooks, db)
for module in (
    serving,
    submitting,
    estimating,
    jobs,
    comparing,
    exporting,
    deleting,
    plans,
    carrying,
    laws,
    *own,
    coordcheck,
    roles,
    workers,
    agents,
    doctor,
):
    module.register(app)


def main() -> None:
    """Run the command line."""
    app(prog_name="windtunnel")
