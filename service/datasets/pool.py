"""A pool of examples, checked and told what it is: classification or regression, which classes, enough of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.datasets.errors import BadData
from service.datasets.scaling import WHOLE, Axis, is_constant, stored, unresolved
from service.datasets.splitting import split_pool

LEAST_EXAMPLES = 50
LEAST_OF_A_CLASS = 3
"""Fewest examples of a class: one for each part."""
MOST_CLASSES = 1000
LONGEST_NAME = 200
"""Characters of the name of a class or column, at most: names stand in lists, labels and tables."""
MOST_WHOLE_NUMBERS = 100
"""Distinct whole numbers up to which a target is recognised as classes, where each is there ``EACH`` times on average."""
EACH = 5
MOST_FEATURES = 16_384


@dataclass(frozen=True)
class Pool:
    """Examples that are still to be split."""

    inputs: NDArray[np.float32 | np.float64]
    """[examples, features], in double precision where single loses what standardised values need."""
    labels: NDArray[Any]
    """[examples]: int64 classes, or values of a regression in single or double precision."""
    classes: tuple[str, ...]
    """Their names; empty for a regression."""
    image: tuple[int, int, int] | None = None
    """(channels, height, width) of examples that are some."""
    columns: list[str] = field(default_factory=list)
    target: str | None = None
    ignored: list[str] = field(default_factory=list)
    """Columns of the file that were left aside."""


@dataclass(frozen=True)
class Target:
    """Values to be learned, as they were read."""

    values: NDArray[np.float64] | None
    """[examples], where all are numbers."""
    names: Sequence[str] | NDArray[Any] | None
    """[examples], as names of classes: texts, or whole numbers without rounding; None: the values themselves."""
    name: str
    """Name of the values in an error message: ``column 'price'``, ``array 'labels'``."""
    pointer: str = "/file"
    quantity: bool = False
    """Whether the values are written as quantities, with groups of digits set apart, and so are no classes."""
    rows: NDArray[np.int64] | None = None
    """Numbers by which errors name an example of a table; None: examples are counted from 1."""
    code: str | None = None
    """A value with leading zeros: a code as likely as a number; None: there is none."""

    def place(self, index: int) -> str:
        """Words for the place of an example: ``row 7``."""
        return f"example {index + 1}" if self.rows is None else f"row {self.rows[index]}"


def check_size(examples: int, features: int, what: str) -> None:
    """Raise BadData where there are too few examples, or features are none or too many."""
    if examples < LEAST_EXAMPLES:
        raise BadData(f"the file has {examples} {what}; allowed: at least {LEAST_EXAMPLES}", given=examples)
    if not 1 <= features <= MOST_FEATURES:
        raise BadData(f"an example has {features} features; allowed: 1 to {MOST_FEATURES:,}", given=features)


def check_range(values: NDArray[Any], names: Sequence[str], rows: NDArray[np.int64]) -> None:
    """Raise BadData where features are beyond single precision, or differ by less than double precision holds.

    Args:
        values: finite, [examples, features].
        names: words for each feature: ``column 'height'``.
        rows: numbers by which errors name an example.
    """
    most = float(np.finfo(np.float32).max)
    for at in map(int, np.flatnonzero((values.max(axis=0) > most) | (values.min(axis=0) < -most))):
        row = int(np.abs(values[:, at]).argmax() if values.dtype.kind == "f" else values[:, at].argmax())
        raise BadData(
            f"{names[at]} has {values[row, at]:g} in row {rows[row]}, beyond single precision; scale the column",
            given=float(values[row, at]),
        )
    lost = unresolved(values)
    if lost is not None:
        raise BadData(
            f"{names[lost]} has numbers such as {values[0, lost]} in row {rows[0]} whose differences double precision does "
            "not hold; subtract what they share, or leave the column out if it numbers the rows",
            given=float(values[0, lost]),
        )


def pooled(inputs: NDArray[Any], learned: Target, kind: str | None, **facts: Any) -> Pool:
    """The pool of inputs [examples, features], which were checked, and of a target that fits them.

    Args:
        inputs: finite numbers.
        learned: values to be learned.
        kind: classification or regression; None: as the target looks.
        facts: other fields of the pool.

    Raises:
        BadData: the target cannot be that kind, or says nothing.
    """
    labels, classes = labelled(learned, kind)
    trained = split_pool(labels, len(classes))[0]
    axis: Axis = (0, 1) if facts.get("image") else 0
    if not classes:
        if is_constant(labels[trained]):
            raise BadData(
                f"{learned.name} is {labels[trained[0]]} in all {len(trained)} examples of the training part, or varies by "
                "less than double precision holds; name another target, or subtract what its values share",
                learned.pointer,
            )
        labels = stored(labels, trained, 0)
    return Pool(stored(inputs, trained, axis), labels, classes, **facts)


def check_finite(values: NDArray[Any], where: str) -> None:
    """Raise BadData at the first number of an array [examples, ...] that is none."""
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(bad):
        first = values[bad[0]].reshape(-1)
        value = float(first[~np.isfinite(first)][0])
        raise BadData(
            f"{where} has {value} in example {bad[0] + 1} ({len(bad)} examples are like that); allowed: finite numbers",
            given=str(value),
        )


def labelled(target: Target, kind: str | None) -> tuple[NDArray[Any], tuple[str, ...]]:
    """(labels, names of the classes) of a target; no names, and values in double precision, for a regression.

    Raises:
        BadData: the target cannot be that kind, or says nothing.
    """
    values, names = target.values, target.names
    if values is None:
        assert names is not None
        if kind == "regression":
            raise BadData(
                f"{target.name} has text such as '{names[0][:60]}', so it is no regression; allowed: classification",
                "/kind",
                kind,
            )
        return _classes(np.asarray(names), target)
    keys = values if names is None else np.asarray(names)
    whole, distinct = bool((values == np.round(values)).all()), len(np.unique(keys))
    if distinct == 1:
        raise BadData(
            f"{target.name} is {keys[0] if names is not None else format(values[0], 'g')} everywhere: there is nothing to "
            "learn; name another target",
            target.pointer,
        )
    recognised = whole and not target.quantity and distinct <= MOST_WHOLE_NUMBERS and EACH * distinct <= len(values)
    if kind is None and target.code is not None and not recognised:
        raise BadData(
            f"{target.name} has values with leading zeros such as '{target.code}', which are names of classes or numbers; "
            "say kind classification or regression",
            "/kind",
            target.code,
        )
    if kind is None:
        kind = "classification" if recognised else "regression"
    if kind == "regression":
        _check_quantities(values, target)
        return values, ()
    if not whole:
        broken = int(np.flatnonzero(values != np.round(values))[0])
        raise BadData(
            f"{target.name} has {values[broken]:g}, which is no class, in {target.place(broken)}; allowed: whole "
            "numbers, or text",
            "/kind",
            kind,
        )
    if names is None and np.abs(values).max() >= WHOLE:
        raise BadData(
            f"{target.name} has classes such as {np.abs(values).max():g}, which double precision does not tell from their "
            "neighbours; write them as text or as whole numbers without point and exponent",
            target.pointer,
        )
    return _classes(values.astype(np.int64) if names is None else keys, target)


def _check_quantities(values: NDArray[np.float64], target: Target) -> None:
    """Raise BadData for targets beyond single precision, or that differ by less than double precision holds."""
    largest = np.abs(values).max()
    if largest > np.finfo(np.float32).max:
        where = target.place(int(np.abs(values).argmax()))
        raise BadData(
            f"{target.name} has values beyond single precision, such as {largest:g} in {where}; scale it", target.pointer
        )
    if unresolved(values[:, None]) is not None:
        raise BadData(
            f"{target.name} has values such as {largest:.17g} whose differences double precision does not hold; subtract "
            "what they share, or say kind classification if they are names",
            target.pointer,
            float(largest),
        )


def _classes(values: NDArray[Any], target: Target) -> tuple[NDArray[Any], tuple[str, ...]]:
    names, first, labels, counts = np.unique(values, return_index=True, return_inverse=True, return_counts=True)
    if len(names) == 1:
        raise BadData(
            f"{target.name} is '{names[0]}' everywhere: there is nothing to learn; name another target", target.pointer
        )
    if len(names) > MOST_CLASSES:
        raise BadData(
            f"{target.name} has {len(names):,} different values; allowed: at most {MOST_CLASSES:,} classes, or a "
            "regression, whose values are numbers",
            target.pointer,
        )
    longest = max((str(name) for name in names), key=len)
    if len(longest) > LONGEST_NAME or not all(str(name).isprintable() for name in names):
        raise BadData(
            f"{target.name} has a class '{longest[:60]}' of {len(longest)} characters; allowed: at most {LONGEST_NAME} "
            "printable ones",
            target.pointer,
        )
    rare = int(counts.argmin())
    if counts[rare] < LEAST_OF_A_CLASS:
        raise BadData(
            f"{target.name} has class '{names[rare]}' {counts[rare]} times; allowed: at least {LEAST_OF_A_CLASS} of each, "
            f"one for the training, the validation and the test part; the first is in {target.place(int(first[rare]))}"
            + ("; or say kind regression" if target.values is not None else ""),
            target.pointer,
            str(names[rare]),
        )
    return labels.astype(np.int64).reshape(-1), tuple(str(name) for name in names)
