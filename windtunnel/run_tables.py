"""Reads a CSV file of runs into the columns that scaling laws are fitted to."""

import csv
import io
from difflib import get_close_matches

from windtunnel.delimited import (
    SAMPLE,
    TELLS_SEPARATOR,
    Cell,
    Decimal,
    UnclearText,
    decimal_of,
    delimiter_of,
    is_written_number,
    plain,
)
from windtunnel.types.base import misfit
from windtunnel.types.laws import COLUMNS, MAX_ROWS, ColumnName, cell_problem

MAX_COLUMNS = 1000
"""Columns of a file, those that are left aside included."""

ALIASES: dict[str, ColumnName] = {
    "n": "parameters",
    "params": "parameters",
    "n_params": "parameters",
    "num_params": "parameters",
    "model_size": "parameters",
    "d": "tokens",
    "n_tokens": "tokens",
    "num_tokens": "tokens",
    "training_tokens": "tokens",
    "l": "loss",
    "test_loss": "loss",
    "val_loss": "loss",
    "validation_loss": "loss",
    "final_loss": "loss",
    "b": "batch_size",
    "batch_tokens": "batch_size",
    "s": "steps",
    "c": "compute",
    "flop": "compute",
    "flops": "compute",
    "training_flop": "compute",
    "training_flops": "compute",
    "b_crit": "critical_batch",
    "u": "unique_tokens",
    "distinct_tokens": "unique_tokens",
    "run_id": "run",
    "run_name": "run",
}
"""Accepted other heading, in lower case -> the column's name."""


def read_csv(text: str) -> tuple[dict[ColumnName, list[float] | list[str]], list[str]]:
    """(columns, ignored headings) of a CSV text.

    The first line has the headings: names of ``COLUMNS`` or ``ALIASES``. Other columns may hold anything. Separator and
    decimal sign are recognised. Names of runs stay text.

    Raises:
        PydanticCustomError: the text is not such a table; the error names row and column, its path is ``/row/column``.
    """
    text = text.removeprefix("\ufeff")
    line = TELLS_SEPARATOR.match(text)
    text = text[line.end() :] if line else text
    try:
        delimiter = line[1] if line else delimiter_of(text[:SAMPLE], whole=len(text) <= SAMPLE)
    except UnclearText as error:
        told = error.message.partition("; say delimiter")[0]
        raise misfit("", f"{told}; write the table with commas between its cells", error.given) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        headings = [cell.strip() for cell in next(filter(_filled, reader), [])]
        if len(headings) > MAX_COLUMNS:
            raise misfit("/0", f"the table has {len(headings):,} columns; allowed: at most {MAX_COLUMNS:,}", len(headings))
        places, ignored = _places(headings)
        cells: dict[ColumnName, list[str]] = {name: [] for name in places}
        rows: list[int] = []
        for row, given in enumerate(reader, 1):
            if not _filled(given):
                continue
            if row > MAX_ROWS:
                raise misfit(f"/{row}", f"the table has more than {MAX_ROWS:,} rows", row)
            if _filled(given[len(headings) :]):
                message = (
                    f"row {row} has {len(given)} cells, the last of them '{given[-1].strip()[:60]}', and the table has "
                    f"{len(headings)} columns; a number that holds the separator, {delimiter!r}, needs quotes"
                )
                raise misfit(f"/{row}", message, given[-1].strip()[:60])
            for name, at in places.items():
                cells[name].append(given[at].strip() if at < len(given) else "")
            rows.append(row)
    except csv.Error as error:
        raise misfit("", f"this is no CSV: {error} in line {reader.line_num}", None) from error
    if not rows:
        raise misfit("", "the table has headings and no row", None)
    shown = {name: headings[at] for name, at in places.items()}
    labels = cells.pop("run", None)
    decimal = _decimal(cells, rows, shown, delimiter)
    columns: dict[ColumnName, list[float] | list[str]] = {
        name: [_number(cell, row, shown[name], decimal) for cell, row in zip(column, rows, strict=True)]
        for name, column in cells.items()
    }
    if labels is not None:
        columns["run"] = [_label(cell, row, shown["run"]) for cell, row in zip(labels, rows, strict=True)]
    return columns, ignored


def _filled(cells: list[str]) -> bool:
    return any(cell.strip() for cell in cells)


def _decimal(cells: dict[ColumnName, list[str]], rows: list[int], shown: dict[ColumnName, str], delimiter: str) -> Decimal:
    """The decimal sign of the columns that are read."""
    if not any(is_written_number(cell) for column in cells.values() for cell in column if not cell.isdigit()):
        return "."
    found = (
        Cell(cell, f"column {shown[name]!r}, row {row},")
        for name, column in cells.items()
        for cell, row in zip(column, rows, strict=True)
    )
    try:
        return decimal_of(found, delimiter)
    except UnclearText as error:
        told = error.message.replace(
            "say decimal point or decimal comma", "write decimal points, and no signs between groups of digits"
        )
        raise misfit("", told, error.given) from error


def _places(headings: list[str]) -> tuple[dict[ColumnName, int], list[str]]:
    places: dict[ColumnName, int] = {}
    ignored = []
    known = {name: name for name in COLUMNS} | ALIASES
    for at, heading in enumerate(headings):
        name = known.get("_".join(heading.lower().replace("-", " ").split()))
        if name is None:
            ignored.append(heading)
        elif name in places:
            first = headings[places[name]]
            raise misfit(f"/0/{heading}", f"columns {first!r} and {heading!r} both stand for {name}; keep one", heading)
        else:
            places[name] = at
    if not places:
        near = [match for heading in headings[:20] for match in get_close_matches(heading[:60].lower(), known, 1)]
        hint = f"; did you mean {near[0]!r}?" if near else ""
        found = f"; found: {', '.join(repr(heading[:60]) for heading in headings[:20])}." if headings else "."
        raise misfit(
            "/0",
            f"no heading is one of {', '.join(COLUMNS)}{hint}{found} The first line must hold the headings",
            headings[:20],
        )
    return places, ignored


def _label(given: str, row: int, heading: str) -> str:
    if not given:
        message = f"column {heading!r}, row {row} is empty; name the run of every row, or leave the column out"
        raise misfit(f"/{row}/{heading}", message, given)
    return given


def _number(given: str, row: int, heading: str, decimal: Decimal) -> float:
    try:
        value: object = given if "_" in given else float(plain(given, decimal) or given)
    except ValueError:
        value = given
    problem = "is empty" if given == "" else cell_problem(value)
    if problem or not isinstance(value, float):
        raise misfit(
            f"/{row}/{heading}", f"column {heading!r}, row {row} {problem}; allowed: a positive, finite number", given
        )
    return value
