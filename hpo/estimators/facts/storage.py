"""Storage of a reverse pass: the optimizer states that it keeps, and the steps that it replays. Imports no torch."""

import math
from typing import Literal

from hpo.footprint.memory import Memory
from hpo.footprint.sizes import Sizes

Storage = Literal["none", "sqrt"] | int
"""Every state, every sqrt(steps)-th, every N-th."""


def storage_in_force(sizes: Sizes, limit: int) -> Storage:
    """Storage of the reverse pass: as asked for; ``auto`` keeps every state where that fits in an eighth of the limit."""
    spec = sizes.spec
    if spec.method.checkpointing != "auto":
        return spec.method.checkpointing
    states = (spec.inner.steps + 1) * Memory(sizes).state * spec.inner.seeds
    return "none" if states <= limit // 8 else "sqrt"


def states_kept(steps: int, storage: Storage) -> int:
    """States alive at once in the reverse pass: all of them, or a segment and its checkpoints."""
    if storage == "none":
        return steps + 1
    segment = _segment(steps, storage)
    return segment + math.ceil(steps / segment) + 1


def replayed(steps: int, storage: Storage) -> int:
    """Steps that the reverse pass computes a second time."""
    if storage == "none":
        return 0
    # Of each segment but the last, whose states the first pass leaves, all but the state it begins with.
    segment = _segment(steps, storage)
    return (math.ceil(steps / segment) - 1) * (segment - 1)


def taken_over(steps: int, storage: Storage, tapes: int) -> int:
    """Gradients of replayed steps that their backward steps take over: of kept tapes, but for a segment's last."""
    if storage == "none":
        return 0
    segment = _segment(steps, storage)
    return (math.ceil(steps / segment) - 1) * max(0, min(segment, tapes) - 1)


def _segment(steps: int, storage: Literal["sqrt"] | int) -> int:
    return math.isqrt(max(steps - 1, 0)) + 1 if storage == "sqrt" else min(storage, steps)
