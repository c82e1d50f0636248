"""Optimizer states that a reverse pass keeps, where they lie, and the steps that it replays to get the others. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from hpo.footprint.memory import RETAINED, Memory, held_together, plain_members
from hpo.footprint.sizes import Sizes

States = Literal["none", "sqrt", "log"] | int
"""States that are kept: "none" every one, "sqrt" every sqrt(steps)-th, "log" those of a tree, N every N-th."""
Place = Literal["device", "host", "file"]
"""Place of the kept states: in the memory of the device that computes, in that of the machine, or in a file."""
BRANCHES = 8
"""Parts of a node in the tree of "log": it keeps about 7 log_8(T) states of T steps, and computes each log_8(T) times."""


@dataclass(frozen=True)
class Storage:
    """States that the forward pass keeps, and where they lie."""

    states: States
    place: Place = "device"


def storage_in_force(sizes: Sizes, limit: int) -> Storage:
    """Storage that the job asks for; for ``auto`` the cheapest that fits in ``limit`` bytes.

    From cheap to dear: every state, if all of them fit in an eighth of the limit; every sqrt(steps)-th; a tree of states,
    each step of which is computed several times; and, where not even that fits, every sqrt(steps)-th in a file.
    """
    method = sizes.spec.method
    place: Place = "device" if method.states_in == "auto" else method.states_in
    if method.checkpointing != "auto":
        return Storage(method.checkpointing, place)
    steps, memory, seeds = sizes.spec.inner.steps, Memory(sizes), sizes.spec.inner.seeds
    if (steps + 1) * memory.state * seeds <= limit // 8:
        return Storage("none", place)
    if place == "file":
        return Storage("sqrt", place)
    retained = held_together(sizes, plain_members(sizes)) * RETAINED * memory.parameters
    for states in ("sqrt", "log"):
        members = held_together(sizes, seeds)
        if members * memory.reverse(states_kept(steps, states)) + retained <= limit:
            return Storage(states, place)
    return Storage("sqrt", "file") if method.states_in == "auto" else Storage("log", place)


def parts(start: int, stop: int, states: States) -> Sequence[range]:
    """Parts of the steps ``start`` ... ``stop - 1`` in which a pass goes back; one part is gone through as it is.

    A state is kept before each part, and the later parts are finished before the state of an earlier one is used. The parts
    of "log" are divided again, ``BRANCHES`` at a time; a part of at most ``BRANCHES`` steps is not.
    """
    every = part_length(stop - start, states)
    return [range(first, min(first + every, stop)) for first in range(start, stop, every)]


def inside(states: States) -> States:
    """Storage within a part: all states of it, or for "log" a tree again."""
    return "log" if states == "log" else "none"


def part_length(steps: int, states: States) -> int:
    """Steps of each part but the last, which may be shorter."""
    if states == "none":
        return steps
    if states == "sqrt":
        return math.isqrt(max(steps - 1, 0)) + 1
    if states == "log":
        length = BRANCHES
        while length * BRANCHES < steps:
            length *= BRANCHES
        return min(length, steps)
    return min(states, steps)


def states_kept(steps: int, states: States) -> int:
    """Most states alive at once in the reverse pass: those kept, those of one part, and the one that is computed."""
    return _deepest(steps, states) + (1 if states == "none" else 2)


IN_WORK = 4
"""States in memory while the others lie in a file: before and after the step that is gone back, and two on their way."""


def states_held(steps: int, storage: Storage) -> int:
    """Most states in memory at once in the reverse pass."""
    kept = states_kept(steps, storage.states)
    return min(kept, IN_WORK) if storage.place == "file" else kept


def states_filed(steps: int, storage: Storage) -> int:
    """Most states in a file at once in the reverse pass; 0 where they lie elsewhere."""
    return _deepest(steps, storage.states) if storage.place == "file" else 0


def replayed(steps: int, states: States) -> int:
    """Number of steps that the reverse pass computes again, those of a tree as often as it does.

    The first pass leaves the states of the last part.
    """
    found = parts(0, steps, states)
    if len(found) == 1:
        return 0
    return sum(_reached(len(part), inside(states)) for part in found[:-1]) + replayed(len(found[-1]), inside(states))


def taken_over(steps: int, states: States, tapes: int) -> int:
    """Number of replayed gradients that a backward step reuses: one for each kept tape, except the last of each segment."""
    found = parts(0, steps, states)
    if len(found) == 1:
        return 0
    rest = taken_over(len(found[-1]), inside(states), tapes)
    return sum(_taped(len(part), inside(states), tapes) for part in found[:-1]) + rest


@lru_cache
def _deepest(steps: int, states: States) -> int:
    """Most states kept at once by a pass back through ``steps`` steps, the first one included."""
    found = parts(0, steps, states)
    if len(found) == 1:
        return steps
    return max(place + _deepest(len(part), inside(states)) for place, part in enumerate(found))


@lru_cache
def _reached(steps: int, states: States) -> int:
    """Steps computed to reach every state of a part of ``steps`` steps, from its first state."""
    found = parts(0, steps, states)
    if len(found) == 1:
        return steps - 1
    return found[-1].start + sum(_reached(len(part), inside(states)) for part in found)


@lru_cache
def _taped(steps: int, states: States, tapes: int) -> int:
    found = parts(0, steps, states)
    if len(found) == 1:
        return max(0, min(steps, tapes) - 1)
    return sum(_taped(len(part), inside(states), tapes) for part in found)
