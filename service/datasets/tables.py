"""Reads tables, CSV and parquet: a column of targets, all others numbers."""

import io
import json
import re
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.datasets.errors import BadData, TooLarge
from service.datasets.headings import check_names, target_column
from service.datasets.pool import Pool, check_range, check_size, pooled
from service.datasets.rows import MOST_CELLS, DelimitedTable
from service.datasets.targets import asks_for_decimal, target_of
from windtunnel.delimited import SAMPLE, TELLS_SEPARATOR, Cell, Decimal, Delimiter, UnclearText, decimal_of, delimiter_of

BATCH = 1 << 14
"""Rows of a parquet file that are read at once."""
SIGNATURES = {
    b"\xff\xfe": "in UTF-16",
    b"\xfe\xff": "in UTF-16",
    b"PK\x03\x04": "a zip archive, as workbooks (.xlsx, .ods) are",
    b"\x1f\x8b": "packed by gzip",
    b"PAR1": "parquet",
}
"""First bytes of a file -> what it is."""
NUL = "the file has NUL bytes, as text in UTF-16 has; save the table as CSV in UTF-8"
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
"""Name that pandas gives to row labels that have none."""


def read_csv(
    file: BinaryIO,
    target: str | None,
    kind: str | None,
    *,
    delimiter: Delimiter | None = None,
    decimal: Decimal | None = None,
    tabs: bool = False,
) -> Pool:
    """A CSV in UTF-8 with a line of names.

    Args:
        file: the table.
        target: the column to learn; None: ``target``, else the last one.
        kind: classification or regression; None: as the target looks.
        delimiter: separator of cells; None: as the table looks.
        decimal: sign in its numbers; None: as the numbers look.
        tabs: whether the file's name promises tabs.

    Raises:
        BadData: it is no such table, or can be read in more than one way.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        sample = text.read(SAMPLE)
        if not sample.strip():
            raise BadData("the file is empty; expected a line of column names and rows of numbers")
        if "\0" in sample:
            raise BadData(NUL)
        told = TELLS_SEPARATOR.match(sample)
        looked, whole = sample[told.end() :] if told else sample, len(sample) < SAMPLE
        preferred: Any = "\t" if tabs else told[1] if told else None
        sign = delimiter or delimiter_of(looked, whole=whole, preferred=preferred)
        table = DelimitedTable(text, sign, target, told=told is not None)
        found, used = table.numbers(kind, decimal)
        return _pool(*found, table.names, table.at, kind, used)
    except UnclearText as error:
        raise BadData(error.message, f"/{error.field}", error.given) from error
    except UnicodeDecodeError as error:
        raise _no_text(text.buffer) from error


def _no_text(file: BinaryIO) -> BadData:
    """The refusal of a file that is no text in UTF-8, with the first line that is none."""
    file.seek(0)
    begins = file.read(4)
    known = next((what for signature, what in SIGNATURES.items() if begins.startswith(signature)), None)
    if known is not None:
        return BadData(f"the file is {known}, and no CSV in UTF-8; save the table as CSV in UTF-8")
    file.seek(0)
    for number, line in enumerate(file, 1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            if b"\0" in line:
                break
            word = max(line[: error.start].rfind(sign) for sign in (b" ", b",", b";", b"\t", b"|", b'"')) + 1
            shown = line[word : error.end + 20].decode("cp1252", errors="replace").strip()[:40]
            return BadData(
                f"the file is no text in UTF-8: row {number} has a byte {line[error.start]:#04x} at '{shown}', if that is "
                "Windows' or Latin-1's spelling; save the table as CSV in UTF-8",
                given=shown if shown.isprintable() else None,
            )
    return BadData(NUL)


def read_parquet(file: BinaryIO, target: str | None, kind: str | None, *, decimal: Decimal | None = None) -> Pool:
    """A parquet file of flat columns; row labels that pandas wrote among them are left aside, unless they are the target.

    Args:
        file: the table.
        target: the column to learn; None: ``target``, else the last one.
        kind: classification or regression; None: as the target looks.
        decimal: sign in the numbers of a target that is text; None: as they look.

    Raises:
        BadData: it is no such table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise BadData(f"the file is no parquet: {str(error)[:200]}") from error
    every = list(table.schema_arrow.names)
    ignored = [name for name in every if name in _row_labels(table.schema_arrow) and name != target]
    taken = [index for index, name in enumerate(every) if name not in ignored]
    names = [every[index] for index in taken]
    check_names(names)
    at = target_column(names, target)
    if table.metadata.num_rows * len(names) > MOST_CELLS:
        raise TooLarge(
            f"the table has {table.metadata.num_rows:,} rows of {len(names):,} columns; allowed: at most {MOST_CELLS:,} "
            "cells"
        )
    features: list[NDArray[np.float64]] = []
    targets: list[str] = []
    start = 0
    for batch in table.iter_batches(BATCH, use_threads=False):
        given = [batch.column(index) for index in taken]
        columns = [_arrow_numbers(given[i], names[i], start) for i in range(len(names)) if i != at]
        features.append(np.stack(columns, axis=1))
        targets += _arrow_target(given[at], names[at])
        start += batch.num_rows
    values = np.concatenate(features) if features else np.zeros((0, len(names) - 1))
    rows = np.arange(1, len(targets) + 1)
    if decimal is None and asks_for_decimal(set(targets), kind):
        where = f"column '{names[at]}', row"
        try:
            cells = (Cell(cell, f"{where} {row},") for cell, row in zip(targets, rows, strict=True))
            decimal = decimal_of(cells, None)
        except UnclearText as error:
            raise BadData(error.message, f"/{error.field}", error.given) from error
    return _pool(values, targets, rows, names, at, kind, decimal, ignored, typed=True)


def _row_labels(schema: Any) -> set[str]:
    """Columns in which pandas keeps the index of a frame: those that its metadata tell, and those that are named so."""
    try:
        told = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
        labels = {name for name in told if isinstance(name, str)}
    except (ValueError, KeyError, TypeError):
        labels = set()
    return labels | {name for name in schema.names if _UNNAMED_INDEX.fullmatch(name)}


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
        cells.append("" if value is None else str(value))
    return cells


def _pool(
    values: NDArray[np.float64],
    targets: list[str],
    rows: NDArray[np.int64],
    names: Sequence[str],
    at: int,
    kind: str | None,
    decimal: Decimal | None = None,
    ignored: Sequence[str] = (),
    *,
    typed: bool = False,
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
    check_range(values, [f"column '{name}'" for name in columns], rows)
    found = target_of(targets, rows, names[at], kind=kind, decimal=decimal, typed=typed)
    return pooled(values, found, kind, columns=columns, target=names[at], ignored=list(ignored))
