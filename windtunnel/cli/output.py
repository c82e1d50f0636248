"""Prints for the commands: tables for people, JSON for programs, errors on standard error."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from windtunnel.client import Unauthorized, ValidationFailed, WindtunnelError
from windtunnel.types import FieldError

PIPE_WIDTH = 200
"""Width in columns of output to a file or a pipe: wide enough that no id is cut."""


def show(*parts: RenderableType) -> None:
    """Print the answer of a command on standard output."""
    console = Console(highlight=False, width=_width(sys.stdout.isatty()))
    with console.capture() as captured:
        console.print(Group(*parts))
    # Rich fills every cell up to the width of its column.
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def messages() -> Console:
    """A console on standard error, for progress, hints and errors; standard output holds only the answer."""
    return Console(stderr=True, highlight=False, width=_width(sys.stderr.isatty()))


def say(text: str = "", *, style: str | None = None) -> None:
    """Print a message on standard error."""
    messages().print(Text(text, style=style or ""), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[str] = (), title: str | None = None
) -> Table:
    """A plain table; cells are shown as they are, never read as markup.

    Args:
        headings: heading of each column.
        rows: cells of each row, text or ``Text``.
        right: headings of the columns that are aligned right (numbers).
        title: line above the table.
    """
    made = Table(
        show_header=any(headings),
        box=None,
        pad_edge=False,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold dim",
    )
    numbers = set(right)
    for heading in headings:
        # An id or a number that is cut in two is useless; prose folds.
        made.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row])
    return made


def explain(error: WindtunnelError) -> None:
    """Print an error on standard error; wrong fields as a table of the value given and what is allowed."""
    if isinstance(error, ValidationFailed) and error.errors:
        say(error.headline, style="bold red")
        messages().print(field_table(error.errors))
        return
    say(f"Error: {error}", style="red")
    if isinstance(error, Unauthorized):
        say(
            "put the key into WINDTUNNEL_API_KEY; the server's operator makes one with `windtunnel keys create`",
            style="dim",
        )


def field_table(errors: Iterable[FieldError]) -> Table:
    """A table of wrong fields: pointer, value given, what is allowed."""
    rows = [(entry.pointer or "(request)", _given(entry.given), entry.message) for entry in errors]
    return table(("field", "given", "what is allowed"), rows)


def number(value: float | None, absent: str = "-") -> str:
    """A number with four significant digits; ``absent`` for None."""
    return absent if value is None else f"{value:.4g}"


def _given(value: Any) -> str:
    text = "-" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _width(on_terminal: bool) -> int | None:
    return None if on_terminal or "COLUMNS" in os.environ else PIPE_WIDTH
