"""Recognises how a delimited text is written: the separator of its cells, and the decimal sign of its numbers."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Delimiter = Literal[",", ";", "\t", "|"]
Decimal = Literal[".", ","]

DELIMITERS: tuple[Delimiter, ...] = (",", ";", "\t", "|")
NAMES: dict[str, str] = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE = 1 << 16
"""Characters of a text that are looked at to recognise its separator."""
SAMPLE_ROWS = 200

_SPACES = " \u00a0\u2009\u202f'\u2019"
"""Signs between groups of three digits that are never a decimal sign."""
TELLS_SEPARATOR = re.compile("sep=([,;|\t])\r?\n", re.IGNORECASE)
"""First line by which spreadsheets are told the separator."""
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_PLAIN = re.compile(rf"[+-]?(?:\d+\.?\d*|\.\d+){_EXPONENT}", re.ASCII)
_WHOLE = re.compile(rf"[+-]?\d+{_EXPONENT}", re.ASCII)
_POINT_GROUPED = re.compile(rf"[+-]?[1-9]\d{{0,2}}([,{_SPACES}])\d{{3}}(?:\1\d{{3}})*(?:\.\d*)?", re.ASCII)
_COMMA = re.compile(rf"[+-]?\d*,\d+{_EXPONENT}", re.ASCII)
_COMMA_GROUPED = re.compile(rf"[+-]?[1-9]\d{{0,2}}([.{_SPACES}])\d{{3}}(?:\1\d{{3}})*(?:,\d*)?", re.ASCII)
_SEPARATORS = re.compile(f"[.,{_SPACES}]")


class UnclearText(ValueError):
    """The text can be read in more than one way.

    Args:
        field: the option that says which: ``delimiter`` or ``decimal``.
        message: the cells that do not tell, and what may be said.
        given: the cell.
    """

    def __init__(self, field: str, message: str, given: str | None = None) -> None:
        super().__init__(message)
        self.field, self.message, self.given = field, message, given


@dataclass(frozen=True)
class Cell:
    """A cell and the words by which a refusal names its place: ``column 'price', row 7``."""

    text: str
    where: str


def plain(cell: str, decimal: Decimal) -> str | None:
    """The cell with a decimal point and no signs between groups of digits, as ``float`` reads it; None: no number."""
    text = cell.strip()
    if decimal == ".":
        if _PLAIN.fullmatch(text):
            return text
        found = _POINT_GROUPED.fullmatch(text)
        return text.replace(found[1], "") if found else None
    if _WHOLE.fullmatch(text):
        return text
    if _COMMA.fullmatch(text):
        return text.replace(",", ".")
    found = _COMMA_GROUPED.fullmatch(text)
    return text.replace(found[1], "").replace(",", ".") if found else None


def is_written_number(cell: str) -> bool:
    """Whether the cell is a number that ``float`` does not read: with a decimal comma, or groups of digits set apart."""
    text = cell.strip()
    return not _PLAIN.fullmatch(text) and (plain(text, ".") is not None or plain(text, ",") is not None)


def is_grouped(cell: str, decimal: Decimal) -> bool:
    """Whether the cell is a number whose groups of three digits are set apart: a quantity, and no name of a class."""
    grouped = _POINT_GROUPED if decimal == "." else _COMMA_GROUPED
    return not _PLAIN.fullmatch(cell.strip()) and grouped.fullmatch(cell.strip()) is not None


def decimal_of(cells: Iterable[Cell], delimiter: str | None) -> Decimal:
    """The decimal sign of a table that has numbers which ``float`` does not read.

    Where nothing else tells, ``1,000`` is a thousand between commas: a table with decimal commas has another separator.

    Args:
        cells: all of its cells that should be numbers; others are passed over.
        delimiter: separator of its cells; None: the table has none.

    Raises:
        UnclearText: the cells do not tell, or some tell this and some that.
    """
    by_point: Cell | None = None
    by_comma: Cell | None = None
    either: dict[str, Cell] = {}
    for cell in cells:
        text = cell.text.strip()
        if not _SEPARATORS.search(text):
            continue
        point, comma = plain(text, "."), plain(text, ",")
        if point == comma:
            continue
        if comma is None:
            by_point = by_point or cell
        elif point is None:
            by_comma = by_comma or cell
        else:
            either.setdefault("," if "," in text else ".", cell)
    if by_point and by_comma:
        raise UnclearText(
            "decimal",
            f"{by_point.where} has '{by_point.text.strip()[:60]}', with a decimal point, and {by_comma.where} has "
            f"'{by_comma.text.strip()[:60]}', with a decimal comma; allowed: one decimal sign in all numbers",
            by_comma.text.strip()[:60],
        )
    doubtful = either.get(".") if by_comma else None if by_point or delimiter == "," else either.get(",")
    if doubtful:
        shown = doubtful.text.strip()[:60]
        raise UnclearText(
            "decimal",
            f"{doubtful.where} has '{shown}', which is {plain(shown, '.')} where the decimal sign is a point and "
            f"{plain(shown, ',')} where it is a comma; say decimal point or decimal comma",
            shown,
        )
    return "," if by_comma else "."


def refuse_thousands(cells: Iterable[Cell]) -> None:
    """Check numbers between semicolons, where a comma would be the decimal sign: their points may be between thousands.

    Args:
        cells: all cells of a table that should be numbers, each of which ``float`` reads.

    Raises:
        UnclearText: every one with a point has three digits after it, as ``1.234``, and so tells nothing.
    """
    pointed = (cell for cell in cells if "." in cell.text)
    first = next(pointed, None)
    if first is None or not _between_thousands(first) or not all(map(_between_thousands, pointed)):
        return
    shown = first.text.strip()[:60]
    raise UnclearText(
        "decimal",
        f"{first.where} has '{shown}', and every number with a point has three digits after it; it is "
        f"{plain(shown, '.')} where the decimal sign is a point and {plain(shown, ',')} where it is a comma; say decimal "
        "point or decimal comma",
        shown,
    )


def _between_thousands(cell: Cell) -> bool:
    return plain(cell.text, ",") is not None


def delimiter_of(text: str, *, whole: bool, preferred: Delimiter | None = None) -> Delimiter:
    """The separator with which every row of a sample has as many cells as the first; then that with most numbers.

    A sample in which no separator does that, or which has one line, is cut by the one that fits most of its rows.

    Args:
        text: the beginning of the table.
        whole: it ends where the table ends, not in the middle of a row.
        preferred: the one to take wherever the first row has it.

    Raises:
        UnclearText: two separators do equally well.
    """
    if preferred is not None and preferred in text:
        first = next(iter(_rows(text, preferred)), [])
        if len(first) > 1:
            return preferred
    counted = {delimiter: _fit(text, delimiter, whole=whole) for delimiter in DELIMITERS}
    best = max(counted.values())
    found = [delimiter for delimiter, fit in counted.items() if fit == best]
    if len(found) > 1 and best[0] == 1 and best[2] > 0:
        names = " or ".join(NAMES[each] for each in found)
        header = text.strip().splitlines()[0][:60]
        raise UnclearText("delimiter", f"cells may be separated by {names} ('{header}'); say delimiter {names}", header)
    return found[0]


def _fit(text: str, delimiter: str, *, whole: bool) -> tuple[float, float, float]:
    """(share of rows with as many cells as the first, share of numbers among the cells, cells of the first row)."""
    rows = list(_rows(text, delimiter))
    if not whole and 2 < len(rows) < SAMPLE_ROWS:
        rows.pop()
    first, *others = rows or [[]]
    if len(first) < 2:
        return 0.0, 0.0, 0.0
    cells = [cell for row in others for cell in row]
    numbers = sum(plain(cell, ".") is not None or plain(cell, ",") is not None for cell in cells)
    fitting = sum(len(row) == len(first) for row in others) / len(others) if others else 0.0
    return fitting, numbers / len(cells) if cells else 0.0, float(len(first)) if fitting < 1 else 1.0


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    """The first rows of a sample that are not blank; a sample is cut anywhere, so nothing in it is an error."""
    count = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield row
                count += 1
            if count == SAMPLE_ROWS:
                return
    except csv.Error:
        return
