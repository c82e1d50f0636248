"""Reads tables, CSV and parquet: a column of targets, all others numbers."""

import csv
import io
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.datasets.errors import BadData, TooLarge
from service.datasets.pool import LONGEST_NAME, MOST_FEATURES, Pool, Target, check_size, labelled, single

DELIMITERS = ",;\t|"
SAMPLE = 1 << 16
MOST_CELLS = 1 << 26
DEFAULT_TARGET = "target"
BATCH = 1 << 14
"""Rows of a parquet file that are read at once."""


def read_csv(file: BinaryIO, target: str | None, kind: str | None) -> Pool:
    """A CSV in UTF-8 with a line of names; separators are recognised. Raises BadData."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        sample = text.read(SAMPLE)
        text.seek(0)
        if not sample.strip():
            raise BadData("the file is empty; expected a line of column names and rows of numbers")
        rows = _lines(csv.reader(text, delimiter=_delimiter(sample), strict=True))
        _, first = next(rows)
        names = [name.strip() for name in first]
        _check_names(names)
        at = _target_column(names, target)
        return _pool(*_numbers(rows, names, at), names, at, kind)
    except UnicodeDecodeError as error:
        raise BadData(f"the file is no text in UTF-8 ({error.reason}); save the table as CSV in UTF-8") from error
    except csv.Error as error:
        raise BadData(f"the file is no CSV: {error}") from error


def _delimiter(sample: str) -> str:
    """The separator that the first line has most of."""
    first = next(line for line in sample.splitlines() if line.strip())
    return max(DELIMITERS, key=first.count)


def _lines(rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """(row number as a spreadsheet shows it, cells)."""
    yield from ((number, cells) for number, cells in enumerate(rows, start=1) if cells)


def _check_names(names: Sequence[str]) -> None:
    if all(_is_number(name) for name in names):
        raise BadData(
            f"the first line has numbers ({', '.join(names[:3])}); expected the names of the columns", given=names[0]
        )
    if len(names) > MOST_FEATURES + 1:
        raise BadData(f"the table has {len(names):,} columns; allowed: at most {MOST_FEATURES + 1:,}", given=len(names))
    if len(names) < 2:
        raise BadData(f"the table has one column, '{names[0][:60]}'; expected a target and at least one feature")
    for index, name in enumerate(names):
        if not name:
            raise BadData(f"column {index + 1} has no name in the first line")
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise BadData(
                f"the name of column {index + 1} has {len(name)} characters; allowed: at most {LONGEST_NAME} printable "
                "ones",
                given=name[:60],
            )
        if name in names[:index]:
            raise BadData(f"two columns are called '{name}'; give each its own name", given=name)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _target_column(names: Sequence[str], target: str | None) -> int:
    if target is None:
        return names.index(DEFAULT_TARGET) if DEFAULT_TARGET in names else len(names) - 1
    if target not in names:
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise BadData(f"there is no column '{target}'; allowed: {shown}", "/target", target)
    return names.index(target)


def _numbers(
    rows: Iterable[tuple[int, list[str]]], names: Sequence[str], at: int
) -> tuple[NDArray[np.float64], list[str], NDArray[np.int64]]:
    """(features [examples, features], cells of the target, row number of each example)."""
    values, targets, numbers = array("d"), list[str](), array("q")
    seen: dict[str, str] = {}
    for number, cells in rows:
        if len(cells) != len(names):
            raise BadData(f"row {number} has {len(cells)} cells; expected {len(names)}, one for each column", given=number)
        target = cells.pop(at).strip()
        targets.append(seen.setdefault(target, target))
        numbers.append(number)
        try:
            values.extend(map(float, cells))
        except ValueError:
            _blame(number, cells, names, at)
        if len(values) > MOST_CELLS:
            raise TooLarge(f"the table has more than {MOST_CELLS:,} cells; allowed: at most that many")
        if "_" in "".join(cells):  # Python reads 1_000 as a number; no other program does
            _blame(number, cells, names, at)
    found = np.frombuffer(values, dtype=np.float64) if values else np.zeros(0)
    return found.reshape(len(targets), len(names) - 1), targets, np.asarray(numbers, dtype=np.int64)


def _blame(number: int, cells: Sequence[str], names: Sequence[str], at: int) -> None:
    """Raise BadData for the first cell that is no number."""
    features = [name for index, name in enumerate(names) if index != at]
    for name, cell in zip(features, cells, strict=True):
        if not cell.strip():
            raise BadData(f"column '{name}' is empty in row {number}; allowed: a number in every row", given="")
        if not _is_number(cell) or "_" in cell:
            raise BadData(
                f"column '{name}' has text in row {number}: '{cell.strip()[:60]}'; allowed: numbers. Leave the column out, "
                "or write categories as columns of 0 and 1",
                given=cell.strip()[:60],
            )


def read_parquet(file: BinaryIO, target: str | None, kind: str | None) -> Pool:
    """A parquet file of flat columns. Raises BadData."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise BadData(f"the file is no parquet: {str(error)[:200]}") from error
    names = list(table.schema_arrow.names)
    _check_names(names)
    at = _target_column(names, target)
    if table.metadata.num_rows * len(names) > MOST_CELLS:
        raise TooLarge(
            f"the table has {table.metadata.num_rows:,} rows of {len(names):,} columns; allowed: at most {MOST_CELLS:,} "
            "cells"
        )
    features: list[NDArray[np.float64]] = []
    targets: list[str] = []
    start = 0
    for batch in table.iter_batches(BATCH, use_threads=False):
        columns = [_arrow_numbers(batch.column(i), names[i], start) for i in range(len(names)) if i != at]
        features.append(np.stack(columns, axis=1))
        targets += _arrow_target(batch.column(at), names[at])
        start += batch.num_rows
    values = np.concatenate(features) if features else np.zeros((0, len(names) - 1))
    return _pool(values, targets, np.arange(1, len(targets) + 1), names, at, kind)


def _arrow_numbers(column: Any, name: str, start: int) -> NDArray[np.float64]:
    """A pyarrow array whose first value is that of row ``start + 1``."""
    import pyarrow as pa

    kind = column.type
    if not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
    ):
        shown = str(column[0].as_py())[:60] if len(column) else ""
        raise BadData(
            f"column '{name}' has values of type {kind} (row {start + 1}: '{shown}'); allowed: numbers. Leave the column "
            "out, or write categories as columns of 0 and 1",
            given=shown,
        )
    if column.null_count:
        row = start + 1 + column.is_null().to_pylist().index(True)
        raise BadData(f"column '{name}' is empty in row {row}; allowed: a number in every row", given="")
    whole = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
    numbers: NDArray[np.float64] = whole.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def _arrow_target(column: Any, name: str) -> list[str]:
    """Cells as a CSV would have them."""
    cells = []
    for value in column.to_pylist():
        if isinstance(value, list | dict | bytes):
            raise BadData(f"column '{name}' has values of type {column.type}; allowed: numbers or text", "/target", name)
        cells.append("" if value is None else str(int(value) if isinstance(value, bool) else value))
    return cells


def _pool(
    values: NDArray[np.float64],
    targets: list[str],
    rows: NDArray[np.int64],
    names: Sequence[str],
    at: int,
    kind: str | None,
) -> Pool:
    """Checked; ``rows`` are the numbers by which errors name an example."""
    columns = [name for index, name in enumerate(names) if index != at]
    check_size(len(targets), len(columns), "rows")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        example, column = bad[0]
        raise BadData(
            f"column '{columns[column]}' has {values[example, column]} in row {rows[example]}; allowed: finite numbers",
            given=str(values[example, column]),
        )
    inputs = single(values)
    if not np.isfinite(inputs).all():
        example, column = np.argwhere(~np.isfinite(inputs))[0]
        raise BadData(
            f"column '{columns[column]}' has {values[example, column]:g} in row {rows[example]}, beyond single precision; "
            "scale the column",
            given=float(values[example, column]),
        )
    labels, classes = labelled(_target(targets, rows, names[at]), kind)
    return Pool(inputs, labels, classes, columns=columns, target=names[at])


def _target(cells: list[str], rows: NDArray[np.int64], name: str) -> Target:
    """The target's cells as numbers where all of them are some."""
    where = f"column '{name}'"
    known = {cell: _label(cell) for cell in set(cells)}
    missing = next((index for index, cell in enumerate(cells) if known[cell] is None), None)
    if missing is not None:
        shown = "is empty" if not cells[missing] else f"has {cells[missing]}"
        raise BadData(
            f"{where}, the target, {shown} in row {rows[missing]} "
            f"({sum(known[cell] is None for cell in cells)} rows are like that); allowed: a finite value in every row",
            "/target",
            cells[missing],
        )
    if all(isinstance(value, float) for value in known.values()):
        return Target(np.array([known[cell] for cell in cells], dtype=np.float64), None, where, "/target")
    return Target(None, cells, where, "/target")


def _label(cell: str) -> float | str | None:
    """A number, a name, or nothing: an empty cell, not-a-number, infinity."""
    if not cell or cell.lower() in ("na", "n/a", "null", "none"):
        return None
    if "_" in cell or not _is_number(cell):
        return cell
    value = float(cell)
    return value if math.isfinite(value) else None
