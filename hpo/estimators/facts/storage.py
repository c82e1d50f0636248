"""Optimizer states that a reverse pass keeps, and the steps that it replays to get the others. Imports no torch."""

import math
from typing import Literal

from hpo.footprint.memory import Memory
from hpo.footprint.sizes import Sizes

Storage = Literal["none", "sqrt"] | int
"""States that are kept: "none" every one, "sqrt" every sqrt(steps)-th, N every N-th."""


def storage_in_force(sizes: Sizes, limit: int) -> Storage:
    """Storage that the job asks for; ``auto`` keeps every state if all of them fit in an eighth of the limit."""
    spec = sizes.spec
    if spec.method.checkpointing != "auto":
        return spec.method.checkpointing
    states = (spec.inner.steps + 1) * Memory(sizes).state * spec.inner.seeds
    return "none" if states <= limit // 8 else "sqrt"


def states_kept(steps: int, storage: Storage) -> int:
    """Number of states alive at once in the reverse pass: all of them, or one segment and the checkpoints."""
    if storage == "none":
        return steps + 1
    segment = _segment(steps, storage)
    return segment + math.ceil(steps / segment) + 1


def replayed(steps: int, storage: Storage) -> int:
    """Number of steps that the reverse pass computes a second time."""
    if storage == "none":
        return 0
    # The first pass leaves the states of the last segment. Every other segment is replayed but for its first state.
    segment = _segment(steps, storage)
    return (math.ceil(steps / segment) - 1) * (segment - 1)


def taken_over(steps: int, storage: Storage, tapes: int) -> int:
    """Number of replayed gradients that a backward step reuses: one for each kept tape, except the last of each segment."""
    if storage == "none":
        return 0
    segment = _segment(steps, storage)
    return (math.ceil(steps / segment) - 1) * max(0, min(segment, tapes) - 1)


def _segment(steps: int, storage: Literal["sqrt"] | int) -> int:
    return math.isqrt(max(steps - 1, 0)) + 1 if storage == "sqrt" else min(storage, steps)
