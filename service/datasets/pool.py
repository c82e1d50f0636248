"""A pool of examples, checked and told what it is: classification or regression, which classes, enough of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.datasets.errors import BadData

LEAST_EXAMPLES = 50
LEAST_OF_A_CLASS = 3
"""Fewest examples of a class: one for each part."""
MOST_CLASSES = 1000
LONGEST_NAME = 200
"""Characters of the name of a class or column, at most: names stand in lists, labels and tables."""
MOST_WHOLE_NUMBERS = 100
"""Distinct whole numbers up to which a target is recognised as classes, where each stands there five times on average."""
MOST_FEATURES = 16_384


@dataclass(frozen=True)
class Pool:
    """Examples that are still to be split."""

    inputs: NDArray[np.float32]
    """[examples, features]."""
    labels: NDArray[Any]
    """[examples]: int64 classes, or float32 values of a regression."""
    classes: tuple[str, ...]
    """Their names; empty for a regression."""
    image: tuple[int, int, int] | None = None
    """(channels, height, width) of examples that are some."""
    columns: list[str] = field(default_factory=list)
    target: str | None = None


@dataclass(frozen=True)
class Target:
    """Values to be learned, as they were read."""

    values: NDArray[np.float64] | None
    """[examples], where all are numbers."""
    texts: Sequence[str] | None
    """[examples], where they are not."""
    name: str
    """Name of the values in an error message: ``column 'price'``, ``array 'labels'``."""
    pointer: str = "/file"


def check_size(examples: int, features: int, what: str) -> None:
    """Raise BadData where there are too few examples, or features are none or too many."""
    if examples < LEAST_EXAMPLES:
        raise BadData(f"the file has {examples} {what}; allowed: at least {LEAST_EXAMPLES}", given=examples)
    if not 1 <= features <= MOST_FEATURES:
        raise BadData(f"an example has {features} features; allowed: 1 to {MOST_FEATURES:,}", given=features)


def single(values: NDArray[Any]) -> NDArray[np.float32]:
    """The values in single precision; infinite where they are beyond it."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


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
    """(labels, names of the classes) of a target; no names for a regression.

    Raises:
        BadData: the target cannot be that kind, or says nothing.
    """
    if target.values is None:
        assert target.texts is not None
        if kind == "regression":
            raise BadData(
                f"{target.name} has text such as '{target.texts[0][:60]}', so it is no regression; allowed: classification",
                "/kind",
                kind,
            )
        return _classes(np.asarray(target.texts), target)
    values = target.values
    whole, distinct = bool((values == np.round(values)).all()), len(np.unique(values))
    if distinct == 1:
        raise BadData(
            f"{target.name} is {values[0]:g} everywhere: there is nothing to learn; name another target", target.pointer
        )
    recognised = whole and distinct <= MOST_WHOLE_NUMBERS and 5 * distinct <= len(values)
    if kind is None:
        kind = "classification" if recognised else "regression"
    if kind == "regression":
        targets = single(values)
        if not np.isfinite(targets).all():
            largest = np.abs(values).max()
            raise BadData(
                f"{target.name} has values beyond single precision, such as {largest:g}; scale it", target.pointer
            )
        return targets, ()
    if not whole:
        broken = values[values != np.round(values)][0]
        raise BadData(f"{target.name} has {broken:g}, which is no class; allowed: whole numbers, or text", "/kind", kind)
    return _classes(values.astype(np.int64), target)


def _classes(values: NDArray[Any], target: Target) -> tuple[NDArray[Any], tuple[str, ...]]:
    names, labels, counts = np.unique(values, return_inverse=True, return_counts=True)
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
            "one for the training, the validation and the test part"
            + ("; or say kind regression" if target.values is not None else ""),
            target.pointer,
            str(names[rare]),
        )
    return labels.astype(np.int64).reshape(-1), tuple(str(name) for name in names)
