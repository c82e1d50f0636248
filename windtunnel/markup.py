"""HTML of small tables and lists of facts, for notebooks and reports. Every text is escaped here."""

from collections.abc import Iterable, Sequence
from html import escape

from windtunnel.types.verdicts import number


def cell(value: object) -> str:
    """A value as escaped text: numbers with four significant digits, a dash for None."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return escape(number(value))
        case _:
            return escape(str(value))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column names the row; columns of numbers are aligned right."""
    body = [list(row) for row in rows]
    numeric = [
        column > 0 and all(isinstance(row[column], float | int | None) for row in body) for column in range(len(headings))
    ]
    align = [' style="text-align:right"' if each else "" for each in numeric]
    head = "".join(f"<th{align[index]}>{escape(name)}</th>" for index, name in enumerate(headings))
    lines = "".join(
        "<tr>" + "".join(f"<td{align[index]}>{cell(value)}</td>" for index, value in enumerate(row)) + "</tr>"
        for row in body
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """A table of names and values."""
    lines = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td>{cell(value)}</td></tr>' for name, value in pairs
    )
    return f"<table><tbody>{lines}</tbody></table>"
