"""Reads the rows of a delimited text into numbers and the cells of a target."""

import csv
import io
import math
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from service.datasets.errors import BadData, TooLarge
from service.datasets.headings import check_names, target_column
from service.datasets.targets import asks_for_decimal, is_number
from windtunnel.delimited import NAMES, Cell, Decimal, decimal_of, is_written_number, plain, refuse_thousands

MOST_CELLS = 1 << 26
Numbers = tuple[NDArray[np.float64], list[str], NDArray[np.int64]]
"""(features [examples, features], cells of the target, row number of each example)."""


class DelimitedTable:
    """A delimited text that is read from its beginning as often as it takes; a first line ``sep=;`` is passed over."""

    def __init__(self, text: io.TextIOWrapper, delimiter: str, target: str | None, *, told: bool) -> None:
        self._text, self.delimiter, self._told = text, delimiter, told
        self.names, _ = self._begun()
        check_names(self.names)
        self.at = target_column(self.names, target)

    def numbers(self, kind: str | None, decimal: Decimal | None) -> tuple[Numbers, Decimal | None]:
        """The numbers of all rows, and their decimal sign; None for numbers as ``float`` reads them.

        Args:
            kind: classification or regression; None: as the target looks.
            decimal: the sign; None: as the numbers look.

        Raises:
            BadData: a row or a cell is wrong.
            UnclearText: the decimal sign cannot be told.
        """
        if decimal is None:
            try:
                found = self._numbers(None)
                if not asks_for_decimal(set(found[1]), kind):
                    if self.delimiter == ";":
                        refuse_thousands(self._cells(kind))
                    return self._finite(found), None
                del found
            except _WrittenNumber:
                pass
            decimal = decimal_of(self._cells(kind), self.delimiter)
        return self._finite(self._numbers(decimal)), decimal

    def _finite(self, found: Numbers) -> Numbers:
        """The numbers. Raises BadData that quotes the first cell that is infinite or not-a-number."""
        values, _, numbers = found
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            _, rows = self._begun()
            cells = next(cells for number, cells in rows if number == numbers[bad[0]])
            del cells[self.at]
            at = int(np.flatnonzero(~np.isfinite(values[bad[0]]))[0])
            name, shown = [name for index, name in enumerate(self.names) if index != self.at][at], cells[at].strip()[:60]
            raise BadData(f"column '{name}' has {shown} in row {numbers[bad[0]]}; allowed: finite numbers", given=shown)
        return found

    def _begun(self) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
        """(names of the columns, rows with their numbers)."""
        self._text.seek(0)
        rows = _lines(csv.reader(self._text, delimiter=self.delimiter, skipinitialspace=True, strict=True))
        if self._told:
            next(rows)
        _, first = next(rows, (0, [""]))
        return [name.strip() for name in first], rows

    def _numbers(self, decimal: Decimal | None) -> Numbers:
        """The numbers, with the sign that is said.

        Raises:
            BadData: a row or a cell is wrong.
            TooLarge: there are too many cells.
            _WrittenNumber: no decimal sign is said, and a cell asks for one.
        """
        values, targets, numbers = array("d"), list[str](), array("q")
        seen: dict[str, str] = {}
        names, at = self.names, self.at
        _, rows = self._begun()
        for number, cells in rows:
            if len(cells) != len(names):
                self._blame_length(number, cells)
            target = cells.pop(at).strip()
            targets.append(seen.setdefault(target, target))
            numbers.append(number)
            try:
                plainly = cells if decimal is None else [plain(cell, decimal) or _strict(cell) for cell in cells]
                values.extend(map(float, plainly))
            except ValueError:
                _blame(number, cells, names, at, decimal)
            if len(values) > MOST_CELLS:
                raise TooLarge(f"the table has more than {MOST_CELLS:,} cells; allowed: at most that many")
            if "_" in "".join(cells):  # Python reads 1_000 as a number; no other program does
                _blame(number, cells, names, at, decimal)
        found = np.frombuffer(values, dtype=np.float64) if values else np.zeros(0)
        return found.reshape(len(targets), len(names) - 1), targets, np.asarray(numbers, dtype=np.int64)

    def _cells(self, kind: str | None) -> Iterator[Cell]:
        """The cells that should be numbers, with their places."""
        _, rows = self._begun()
        targets: dict[str, int] = {}
        for number, cells in rows:
            if len(cells) != len(self.names):
                self._blame_length(number, cells)
            targets.setdefault(cells[self.at].strip(), number)
            for index, cell in enumerate(cells):
                if index != self.at and not cell.isdigit():
                    yield Cell(cell, f"column '{self.names[index]}', row {number},")
        if asks_for_decimal(targets, kind) or (kind != "classification" and all(map(is_number, targets))):
            name = self.names[self.at]
            yield from (Cell(cell, f"column '{name}', row {number},") for cell, number in targets.items())

    def _blame_length(self, number: int, cells: Sequence[str]) -> None:
        """Raise BadData for a row that is longer or shorter than the names."""
        last, sign = cells[-1].strip()[:60], f"the separator, a {NAMES[self.delimiter]},"
        why = f"a cell that holds {sign} needs quotes"
        if len(cells) < len(self.names):
            why = f"from column '{self.names[len(cells)]}' on, cells are missing: write {sign} for each of them"
        elif not last:
            why = f"{sign} at its end makes another cell; take it away, or a cell that holds it needs quotes"
        raise BadData(
            f"row {number} has {len(cells)} cells; expected {len(self.names)}, one for each column. Its last cell is "
            f"'{last}'; {why}",
            given=last,
        )


class _WrittenNumber(Exception):
    """A cell is a number only once the decimal sign of the table is known.

    Reading starts again where this is raised, with the sign that all cells of the table tell together.
    """


def _lines(rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """(row number as a spreadsheet shows it, cells) of all rows that are not blank."""
    number = 0
    try:
        for number, cells in enumerate(rows, start=1):
            if len(cells) > 1 or any(map(str.strip, cells)):
                yield number, cells
    except csv.Error as error:
        raise BadData(f"the file is no CSV: {error} in row {number + 1}") from error


def _strict(cell: str) -> str:
    """A cell that is no number with the table's decimal sign: infinite or not-a-number as it stands, else nothing."""
    return cell if is_number(cell) and not math.isfinite(float(cell)) else ""


def _blame(number: int, cells: Sequence[str], names: Sequence[str], at: int, decimal: Decimal | None) -> None:
    """Raise BadData for the first cell that is no number, or _WrittenNumber for one that is with a decimal sign."""
    features = [name for index, name in enumerate(names) if index != at]
    for name, cell in zip(features, cells, strict=True):
        given = cell.strip()
        if not given:
            raise BadData(f"column '{name}' is empty in row {number}; allowed: a number in every row", given="")
        if decimal is None and is_written_number(given):
            raise _WrittenNumber
        read = cell if decimal is None else plain(cell, decimal) or _strict(cell)
        if not is_number(read):
            written = f" with a decimal {'comma' if decimal == ',' else 'point'}" if decimal is not None else ""
            raise BadData(
                f"column '{name}' has text in row {number}: '{given[:60]}'; allowed: numbers{written}. Leave the column "
                "out, or write categories as columns of 0 and 1",
                given=given[:60],
            )
