"""Reads the target of a table: its cells as numbers, as whole numbers without rounding, or as names of classes."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.datasets.errors import BadData
from service.datasets.pool import EACH, Target
from service.datasets.scaling import WHOLE
from windtunnel.delimited import Decimal, is_grouped, is_written_number, plain

MISSING = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "nil"})
"""Words for a missing value, in lower case. They may be names of classes, too."""
MARKS = frozenset({"?", "-", "--", ".", "*"})
"""Signs for a missing value among numbers."""
LONGEST_SHOWN = 60
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0\d+", re.ASCII)
_POWER = re.compile(r"\d+[eE]\d+", re.ASCII)
"""A whole number as no program writes one, which has a point or a sign: as likely a code."""
_WITH_UNIT = re.compile("[\u0024\u00a3\u00a5\u20ac]?[ \u00a0]?(.*?)[ \u00a0]?[%\u0024\u00a3\u00a5\u20ac]?", re.DOTALL)


def is_number(cell: str) -> bool:
    """Whether ``float`` reads the cell as it stands, and so do other programs: Python alone reads 1_000."""
    if "_" in cell:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def asks_for_decimal(cells: Iterable[str], kind: str | None) -> bool:
    """Whether different cells of a target are numbers, and some have a decimal comma or groups of digits set apart."""
    if kind == "classification":
        return False
    found = list(cells)
    written = any(is_written_number(cell) for cell in found)
    return written and all(is_number(cell) or _is_missing(cell) or is_written_number(cell) for cell in found)


def target_of(
    cells: Sequence[str],
    rows: NDArray[np.int64],
    name: str,
    *,
    kind: str | None,
    decimal: Decimal | None = None,
    typed: bool = False,
) -> Target:
    """The target of a table.

    Args:
        cells: as they are written, without blanks around them.
        rows: numbers by which errors name a cell.
        name: of the column.
        kind: classification or regression, as the sender says; None: as the cells look.
        decimal: sign of its numbers; None: as ``float`` reads them.
        typed: whether the file tells text from nothing, so that ``NA`` is text.

    Raises:
        BadData: a cell is missing, or may be a number and is none.
    """
    column = _Column(cells, rows, name)
    numbers = {cell: _number(cell, decimal) for cell in column.first}
    known = {cell for cell, value in numbers.items() if value is not None and math.isfinite(value)}
    words = {cell for cell in column.first if cell not in known and (cell.lower() in MISSING or numbers[cell] is not None)}
    marks = {cell for cell in column.first if cell in MARKS}
    told = known | words | marks
    odd = [cell for cell in column.first if cell and cell not in told]
    if "" in column.first:
        named = typed or kind == "classification"
        column.refuse_missing({""} if named else {"", *words}, "a finite value in every row")
    if known and not odd:
        lost = words | marks if kind != "classification" else words
        if lost:
            column.refuse_missing(lost, "a finite value in every row")
        if not marks:
            return column.numeric(numbers, decimal)
    if kind == "regression":
        text = next(cell for cell in column.first if cell not in known)
        raise BadData(
            f"{column.where} has text such as '{text[:LONGEST_SHOWN]}', so it is no regression; allowed: classification, "
            f"or a number in row {rows[column.first[text]]}",
            "/kind",
            kind,
        )
    if kind is None:
        if words and not typed:
            column.refuse_missing(
                words, "a finite value in every row. If it is the name of a class, say kind classification"
            )
        if odd and column.is_mostly(known):
            column.refuse_among_numbers(odd[0])
        if all(cell in known or _is_near_number(cell) for cell in column.first):
            column.refuse_near_number(next(cell for cell in column.first if cell not in known))
    return Target(None, cells, column.where, "/target", rows=rows)


class _Column:
    """The cells of a target, each different one with the index of its first example."""

    def __init__(self, cells: Sequence[str], rows: NDArray[np.int64], name: str) -> None:
        self.cells, self.rows = cells, rows
        self.where = f"column '{name}'"
        self.first: dict[str, int] = {}
        for index, cell in enumerate(cells):
            self.first.setdefault(cell, index)

    def numeric(self, numbers: Mapping[str, float | None], decimal: Decimal | None) -> Target:
        """Numbers, with what they are as names of classes where that says more."""
        values = np.array([numbers[cell] for cell in self.cells], dtype=np.float64)
        code = next((cell for cell in self.first if _LEADING_ZERO.fullmatch(cell)), None)
        names: Sequence[str] | NDArray[Any] | None = None
        if code is not None or any(_POWER.fullmatch(cell) for cell in self.first):
            names = self.cells
        elif np.abs(values).max() >= WHOLE:
            plainly = {cell: plain(cell, decimal or ".") or cell for cell in self.first}
            if all(_WHOLE.fullmatch(text) for text in plainly.values()):
                names = np.array([int(plainly[cell]) for cell in self.cells], dtype=object)
        quantity = decimal is not None and any(is_grouped(cell, decimal) for cell in self.first)
        return Target(values, names, self.where, "/target", quantity, self.rows, code)

    def refuse_missing(self, missing: AbstractSet[str], allowed: str) -> None:
        """Raise BadData for the first cell that is one of these."""
        cell, index = next((cell, index) for cell, index in self.first.items() if cell in missing)
        shown = f"has {cell}" if cell else "is empty"
        count = sum(each in missing for each in self.cells)
        raise BadData(
            f"{self.where}, the target, {shown} in row {self.rows[index]} ({count} rows are like that); allowed: {allowed}",
            "/target",
            cell,
        )

    def is_mostly(self, known: AbstractSet[str]) -> bool:
        """Whether at least half of the cells are numbers, so many different ones that they are no classes."""
        count = sum(cell in known for cell in self.cells)
        return 2 * count >= len(self.cells) and EACH * len(known) > count

    def refuse_among_numbers(self, cell: str) -> None:
        """Raise BadData for text in a column of numbers."""
        raise BadData(
            f"{self.where}, the target, has '{cell[:LONGEST_SHOWN]}' in row {self.rows[self.first[cell]]} among numbers; "
            "allowed: a number in every row, or say kind classification if these are names of classes",
            "/target",
            cell[:LONGEST_SHOWN],
        )

    def refuse_near_number(self, cell: str) -> None:
        """Raise BadData for a number with a sign that is none of a number's."""
        raise BadData(
            f"{self.where}, the target, has '{cell[:LONGEST_SHOWN]}' in row {self.rows[self.first[cell]]}, a number with "
            "more about it; allowed: numbers alone, or say kind classification if these are names of classes",
            "/target",
            cell[:LONGEST_SHOWN],
        )


def _number(cell: str, decimal: Decimal | None) -> float | None:
    if decimal is None or cell.lower() in MISSING:
        return float(cell) if is_number(cell) else None
    text = plain(cell, decimal)
    return None if text is None else float(text)


def _is_missing(cell: str) -> bool:
    return not cell or cell.lower() in MISSING or cell in MARKS


def _is_near_number(cell: str) -> bool:
    """Whether the cell is a number with a currency or a per cent sign, underscores, or a minus that is none of ASCII's."""
    found = _WITH_UNIT.fullmatch(cell.replace("\u2212", "-"))
    inner = (found[1] if found else cell).replace("_", "")
    return is_number(inner) or is_written_number(inner)
