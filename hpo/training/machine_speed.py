"""How fast this process computes, in the terms that estimates of seconds are made of. Takes about a tenth of a second."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from windtunnel.types.estimates import MachineSpeed

REPEATS = 5
CHAIN = 100
"""Small operations in a row."""
MATRICES, ROWS, SIDE = 8, 64, 256
ELEMENTS = 2**22


Clock = Callable[[], float]


def measure_speed(clock: Clock = time.perf_counter) -> MachineSpeed:
    """Measure with the number of threads in force; the median of some repeats counts.

    Args:
        clock: seconds so far. By default those that pass, so that what else the machine does is part of its speed;
            ``time.process_time`` for the processor's alone.
    """
    with torch.enable_grad():
        small = torch.ones(8, 8, requires_grad=True)
        dispatch = _median(lambda: _chain(small), clock) / CHAIN
    left, right = torch.ones(MATRICES, ROWS, SIDE), torch.ones(MATRICES, SIDE, SIDE)
    product = _median(lambda: left @ right, clock)
    one, other = torch.ones(ELEMENTS), torch.ones(ELEMENTS)
    total = _median(lambda: torch.add(one, other, out=other), clock)
    return MachineSpeed(
        dispatch_seconds=dispatch,
        flops_per_second=2 * MATRICES * ROWS * SIDE * SIDE / product,
        bytes_per_second=3 * 4 * ELEMENTS / total,
    )


def _chain(start: Tensor) -> None:
    value = start
    for _ in range(CHAIN):
        value = value * 1.0
    value.sum().backward()  # type: ignore[no-untyped-call]


def _median(action: Callable[[], object], clock: Clock) -> float:
    """Seconds of the median repeat."""
    found = []
    for _ in range(REPEATS):
        began = clock()
        action()
        found.append(clock() - began)
    return statistics.median(found)
