"""Splits examples into three parts once and for all: stratified by class, or by position in a text."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = ("train", "validation", "test")
SHARE = 0.2
"""Share of the examples in the validation part, and in the test part; the rest is the training part."""
MOST_HELD_OUT = 2000
"""Most examples of the validation or test part: every outer step reads them, and two thousand make the standard error of an
accuracy one per cent."""
TEXT_SHARE, MOST_HELD_OUT_WINDOWS = 0.1, 500
SEED = 20_240_229


def split_pool(labels: NDArray[Any], classes: int) -> list[NDArray[np.int64]]:
    """Rows of the three parts, shuffled; each class has the same share of each, and at least one example in it.

    Args:
        labels: [examples].
        classes: their number; 0 for a regression, which is split at random.
    """
    generator = np.random.Generator(np.random.PCG64(SEED))
    share = min(SHARE, MOST_HELD_OUT / len(labels))
    strata = [np.flatnonzero(labels == index) for index in range(classes)] if classes else [np.arange(len(labels))]
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for rows in strata:
        shuffled, held = generator.permutation(rows), max(1, round(len(rows) * share))
        for part, piece in zip(parts, np.split(shuffled, [len(rows) - 2 * held, len(rows) - held]), strict=True):
            part.append(piece)
    return [generator.permutation(np.concatenate(part)) for part in parts]


def split_windows(count: int) -> list[NDArray[np.int64]]:
    """Windows of the three parts: the beginning of the text trains, what follows is held out."""
    held = max(1, min(MOST_HELD_OUT_WINDOWS, round(count * TEXT_SHARE)))
    rows = np.arange(count)
    return [rows[: count - 2 * held], rows[count - 2 * held : count - held], rows[count - held :]]
