"""Where two answers differ: field paths with both values, leaving out what is about a run and not about its result."""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

EXCLUDED = {
    "worker": "which process ran the job",
    "wall_seconds": "how long it took",
    "provenance.versions": "what is installed",
}
"""Field, or the end of a field's path, that is not compared -> why."""

REPLACED = {
    "ids of jobs, plans and fits": (re.compile(r"\b(job|plan|fit)_[0-9a-zA-Z]{26}\b"), r"\1_ID"),
    "times": (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "TIME"),
}
"""What is replaced in every text before it is compared, for it is new in every run. JSON stays JSON."""

MISSING = "(missing)"


@dataclass(frozen=True)
class Difference:
    """One place in which two answers differ."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.path}\n      old: {short(self.old)}\n      new: {short(self.new)}"


def read(text: str) -> Any:
    """JSON with its numbers as they are written: two floats are equal when all their bits are, and 1 is not 1.0."""
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=Number)


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def plain(text: str, places: dict[str, str]) -> str:
    """A text without ids, times and the places of this run.

    Args:
        text: any.
        places: path or address -> the word for it.
    """
    for place, word in places.items():
        text = text.replace(place, word)
    for pattern, word in REPLACED.values():
        text = pattern.sub(word, text)
    return text


def differences(old: Any, new: Any, excluded: Collection[str] = tuple(EXCLUDED), path: str = "") -> Iterator[Difference]:
    """Every place in which two JSON values differ, outermost first.

    Args:
        old: a value made by ``read``.
        new: likewise.
        excluded: fields that are not compared: names, or ends of paths with dots between.
        path: where the values are.
    """
    if is_excluded(path, excluded):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in (*old, *(name for name in new if name not in old)):
            yield from differences(old.get(name, MISSING), new.get(name, MISSING), excluded, f"{path}.{name}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield Difference(f"{path}.length", len(old), len(new))
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from differences(one, other, excluded, f"{path}.{index}")
    elif isinstance(old, str) and isinstance(new, str) and type(old) is type(new) is str and "\n" in old + new:
        yield from _lines(old, new, path)
    elif old != new or type(old) is not type(new):
        yield Difference(path, old, new)


def is_excluded(path: str, excluded: Collection[str]) -> bool:
    """Whether a field is left out: its path, or the end of it, is named."""
    return any(path == name or path.endswith(f".{name}") for name in excluded)


def _lines(old: str, new: str, path: str) -> Iterator[Difference]:
    one, other = old.split("\n"), new.split("\n")
    if len(one) != len(other):
        yield Difference(f"{path}.lines", len(one), len(other))
    for number, (line, twin) in enumerate(zip(one, other, strict=False), start=1):
        if line != twin:
            yield Difference(f"{path} line {number}", line, twin)
            if len(one) != len(other):
                return


def short(value: Any, most: int = 240) -> str:
    """A value in one line."""
    text = str(value) if isinstance(value, Number | str | int) else json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
