"""Measures this process's speed, in the terms that estimates of seconds use. It takes about a tenth of a second."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from hpo.devices import at_once
from windtunnel.types.estimates import MachineSpeed

REPEATS = 5
CHAIN = 100
"""Number of small operations in a row that are timed together."""
MATRICES, ROWS, SIDE = 8, 64, 256
ELEMENTS = 2**22
LARGER = 16
"""Factor of the sizes on a GPU."""


Clock = Callable[[], float]


def measure_speed(clock: Clock = time.perf_counter, device: torch.device | None = None) -> MachineSpeed:
    """Speed of this process with its present number of threads, as the median of some repeats.

    Args:
        device: device that computes; None: the CPU. On a GPU the time runs until all of the work is done, and matrices
            are larger, so that they fill it.
        clock: seconds so far. By default wall-clock time, so that other load on the machine is part of its speed;
            ``time.process_time`` counts only this process.
    """
    device = torch.device("cpu") if device is None else device
    times = 1 if at_once(device) else LARGER
    rows, side, elements = ROWS * times, SIDE * times, ELEMENTS * times

    def seconds(action: Callable[[], object]) -> float:
        return _median(action if at_once(device) else _to_its_end(action, device), clock)

    with torch.enable_grad():
        small = torch.ones(8, 8, device=device, requires_grad=True)
        dispatch = seconds(lambda: _chain(small)) / CHAIN
    left, right = torch.ones(MATRICES, rows, side, device=device), torch.ones(MATRICES, side, side, device=device)
    product = seconds(lambda: left @ right)
    one, other = torch.ones(elements, device=device), torch.ones(elements, device=device)
    total = seconds(lambda: torch.add(one, other, out=other))
    return MachineSpeed(
        dispatch_seconds=dispatch,
        flops_per_second=2 * MATRICES * rows * side * side / product,
        bytes_per_second=3 * 4 * elements / total,
    )


def _to_its_end(action: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """The action, and a wait until the device has done it."""

    def whole() -> None:
        action()
        torch.cuda.synchronize(device)

    whole()  # the first one loads kernels
    return whole


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
