"""Checks the names of a table's columns, and finds the one that is learned."""

import re
from collections.abc import Sequence

from service.datasets.errors import BadData
from service.datasets.pool import LONGEST_NAME, MOST_FEATURES
from service.datasets.targets import is_number

DEFAULT_TARGET = "target"
ROW_NUMBERS = "; row numbers that another program wrote, as pandas does without index=False, are no column: leave it out"
_UNNAMED = re.compile(r"Unnamed: \d+")


def check_names(names: Sequence[str]) -> None:
    """Raise BadData where the names are none, too many, too long or the same."""
    if all(is_number(name) for name in names):
        raise BadData(
            f"the first line has numbers ({', '.join(names[:3])}); expected the names of the columns", given=names[0]
        )
    if len(names) > MOST_FEATURES + 1:
        raise BadData(f"the table has {len(names):,} columns; allowed: at most {MOST_FEATURES + 1:,}", given=len(names))
    if len(names) < 2:
        raise BadData(f"the table has one column, '{names[0][:60]}'; expected a target and at least one feature")
    for index, name in enumerate(names):
        if not name:
            last = "; a line that ends in the separator has one more column" if index == len(names) - 1 else ""
            raise BadData(f"column {index + 1} has no name in the first line{ROW_NUMBERS if index == 0 else last}")
        if _UNNAMED.fullmatch(name):
            raise BadData(
                f"column {index + 1} is called '{name}', as pandas calls one without a name{ROW_NUMBERS}", given=name
            )
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise BadData(
                f"the name of column {index + 1} has {len(name)} characters; allowed: at most {LONGEST_NAME} printable "
                "ones",
                given=name[:60],
            )
        if name in names[:index]:
            raise BadData(f"two columns are called '{name}'; give each its own name", given=name)


def target_column(names: Sequence[str], target: str | None) -> int:
    """Index of the column that is learned. Raises BadData where there is none of that name."""
    if target is None:
        return names.index(DEFAULT_TARGET) if DEFAULT_TARGET in names else len(names) - 1
    if target not in names:
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise BadData(f"there is no column '{target}'; allowed: {shown}", "/target", target)
    return names.index(target)
