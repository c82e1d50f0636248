"""Groups sizes that are meant to be one: within a tolerance, not by equality, for counts and budgets come with rounding."""

import numpy as np
from numpy.typing import NDArray

from hpo.laws.forms import Array

SAME_SIZE = 0.005
"""Largest relative distance of a size from the least of its group."""


def groups(size: Array, tolerance: float = SAME_SIZE) -> NDArray[np.intp]:
    """Number of the group of each size [rows], by rising size: a group reaches from its least size up by the tolerance."""
    order = np.argsort(size, kind="stable")
    rising = size[order]
    found = np.zeros(len(size), dtype=np.intp)
    start = number = 0
    while start < len(size):
        end = int(np.searchsorted(rising, rising[start] * (1 + tolerance), side="right"))
        found[order[start:end]] = number
        start, number = end, number + 1
    return found
