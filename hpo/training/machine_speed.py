"""Measures this process's speed, in the terms that estimates of seconds use. It takes about a tenth of a second."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from windtunnel.types.estimates import MachineSpeed

REPEATS = 5
CHAIN = 100
"""Number of small operations in a row that are timed together."""
MATRICES, ROWS, SIDE = 8, 64, 256
ELEMENTS = 2**22


Clock = Callable[[], float]


def measure_speed(clock: Clock = time.perf_counter) -> MachineSpeed:
    """Speed of this process with its present number of threads, as the median of some repeats.

    Args:
        clock: seconds so far. By default wall-clock time, so that other load on the machine is part of its speed;
            ``time.process_time`` counts only this process.
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
    """Median of the seconds that repeats of an action take."""
    found = []
    for _ in range(REPEATS):
        began = clock()
        action()
        found.append(clock() - began)
    return statistics.median(found)
