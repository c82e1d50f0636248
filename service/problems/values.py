"""Values of a request, made fit to be shown back: valid JSON, finite, short."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

LONGEST_TEXT = 200
LONGEST_LIST = 20
EXACT_INTEGER = 2**53
"""Largest integer that is shown as a number: JavaScript readers lose digits of a larger one."""


def presentable(value: Any, *, depth: int = 3) -> Any:
    """A value as JSON can carry it, cut where it is long or deep."""
    match value:
        case None | bool():
            shown: Any = value
        case int():
            shown = _integer(value)
        case float():
            shown = value if math.isfinite(value) else str(value)
        case str():
            shown = _text(value)
        case bytes():
            shown = _text(value.decode("utf-8", "replace"))
        case Mapping() | Sequence() if depth == 0:
            shown = "…"
        case Mapping():
            shown = {
                _text(str(key)): presentable(item, depth=depth - 1) for key, item in islice(value.items(), LONGEST_LIST)
            }
            if len(value) > LONGEST_LIST:
                shown["…"] = f"{len(value) - LONGEST_LIST} more"
        case Sequence():
            shown = [presentable(item, depth=depth - 1) for item in value[:LONGEST_LIST]]
            if len(value) > LONGEST_LIST:
                shown.append(f"… {len(value) - LONGEST_LIST} more")
        case _:
            shown = _text(str(value))
    return shown


def in_words(given: Any) -> str:
    """A given value within a sentence."""
    match presentable(given):
        case None:
            return "null"
        case bool() as flag:
            return str(flag).lower()
        case str() as text if isinstance(given, str):
            return f"'{text if len(text) <= 60 else text[:59] + '…'}'"
        case list():
            return "a list"
        case dict():
            return "an object"
        case other:
            return str(other)


def _integer(value: int) -> int | str:
    if abs(value) <= EXACT_INTEGER:
        return value
    return str(value) if abs(value) < 10**40 else f"an integer of {value.bit_length()} bits"


def _text(value: str) -> str:
    """Lone surrogates, which JSON can escape and UTF-8 cannot hold, become question marks."""
    return cut(value[: LONGEST_TEXT + 1].encode("utf-8", "replace").decode(), LONGEST_TEXT)


def cut(text: str, most: int) -> str:
    """The text, or its beginning with an ellipsis where it has more than ``most`` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
