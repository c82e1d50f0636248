"""Reads a CSV file of runs into the columns that scaling laws are fitted to."""

import csv
import io
from difflib import get_close_matches

from windtunnel.types.base import misfit
from windtunnel.types.laws import COLUMNS, MAX_ROWS, ColumnName, cell_problem

ALIASES: dict[str, ColumnName] = {
    "n": "parameters",
    "params": "parameters",
    "n_params": "parameters",
    "d": "tokens",
    "n_tokens": "tokens",
    "l": "loss",
    "test_loss": "loss",
    "val_loss": "loss",
    "validation_loss": "loss",
    "b": "batch_size",
    "batch_tokens": "batch_size",
    "s": "steps",
    "c": "compute",
    "flops": "compute",
    "b_crit": "critical_batch",
}
"""Accepted other heading, in lower case -> the column's name."""


def read_csv(text: str) -> tuple[dict[ColumnName, list[float]], list[str]]:
    """(columns, ignored headings) of a CSV text.

    The first line has the headings: names of ``COLUMNS`` or ``ALIASES``. Other columns may hold anything.

    Raises:
        PydanticCustomError: the text is not such a table; the error names row and column, its path is ``/row/column``.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        headings = [cell.strip() for cell in next(reader, [])]
        places, ignored = _places(headings)
        columns: dict[ColumnName, list[float]] = {name: [] for name in places}
        for row, cells in enumerate(reader, 1):
            if not any(cell.strip() for cell in cells):
                continue
            if row > MAX_ROWS:
                raise misfit(f"/{row}", f"the table has more than {MAX_ROWS:,} rows", row)
            for name, at in places.items():
                columns[name].append(_number(cells, at, row, headings[at]))
    except csv.Error as error:
        raise misfit("", f"this is no CSV: {error} in line {reader.line_num}", None) from error
    if not next(iter(columns.values())):
        raise misfit("", "the table has headings and no row", None)
    return columns, ignored


def _places(headings: list[str]) -> tuple[dict[ColumnName, int], list[str]]:
    places: dict[ColumnName, int] = {}
    ignored = []
    known = {name: name for name in COLUMNS} | ALIASES
    for at, heading in enumerate(headings):
        name = known.get(heading.lower().replace(" ", "_"))
        if name is None:
            ignored.append(heading)
        elif name in places:
            first = headings[places[name]]
            raise misfit(f"/0/{heading}", f"columns {first!r} and {heading!r} both stand for {name}; keep one", heading)
        else:
            places[name] = at
    if not places:
        near = get_close_matches(headings[0].lower() if headings else "", known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise misfit(
            "/0", f"no heading is one of {', '.join(COLUMNS)}{hint} The first line must hold the headings", headings[:20]
        )
    return places, ignored


def _number(cells: list[str], at: int, row: int, heading: str) -> float:
    given = cells[at].strip() if at < len(cells) else ""
    try:
        value: object = float(given)
    except ValueError:
        value = given
    if problem := ("is empty" if given == "" else cell_problem(value)):
        raise misfit(
            f"/{row}/{heading}", f"column {heading!r}, row {row} {problem}; allowed: a positive, finite number", given
        )
    return float(given)
