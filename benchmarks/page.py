"""Writes the generated parts of docs/benchmarks.md, each between two comments that name it."""

from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def write(part: str, lines: Sequence[str]) -> None:
    """Replace one part of the page.

    Raises:
        ValueError: the page has no such part.
    """
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    text = PAGE.read_text()
    if begin not in text or end not in text:
        raise ValueError(f"{PAGE.name} has no part between {begin} and {end}")
    before, rest = text.split(begin)
    PAGE.write_text(before + begin + "\n" + "\n".join(lines) + "\n" + end + rest.split(end)[1])
