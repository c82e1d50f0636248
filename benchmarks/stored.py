"""Measurements that survive an interruption: CSV files, written cell by cell, that continue where they stopped."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"

Row = dict[str, str]
Cell = tuple[object, ...]


def stored(
    name: str, columns: Sequence[str], cells: Iterable[Cell], measure: Callable[[Cell], Iterable[Sequence[object]]]
) -> list[Row]:
    """Rows of benchmarks/results/<name>.csv; missing cells are measured and added.

    Args:
        name: name of the file. Delete the file to measure again.
        columns: columns of a row; the first ones are those of a cell.
        cells: cells to measure, each the beginning of its rows.
        measure: cell -> the rest of each of its rows.
    """
    path = RESULTS / f"{name}.csv"
    rows = read(path)
    for cell in cells:
        known = [str(part) for part in cell]
        if any([row[column] for column in columns[: len(cell)]] == known for row in rows):
            continue
        # A cell is written whole or not at all.
        fresh = [dict(zip(columns, map(str, (*cell, *rest)), strict=True)) for rest in measure(cell)]
        append(path, columns, fresh)
        for row in fresh:
            print(name, *row.values(), flush=True)
        rows += fresh
    return rows


def read(path: Path) -> list[Row]:
    """Rows of a CSV file; empty if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Add rows to a CSV file, which is created if it is missing."""
    path.parent.mkdir(exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)
