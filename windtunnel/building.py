"""Calls of a function that makes a module, and the settings of torch meanwhile, for ``tune`` and ``carry``."""

import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from windtunnel.client._errors import InvalidRequest

NUMBERS = itertools.count(1)
"""Numbers of the tasks and plans that are made in this process."""


@contextmanager
def settings_of_torch() -> Iterator[None]:
    """Context in which new tensors are float32 and on the CPU; at its end, also after an error, the process's settings are
    back: number of threads, default type, default device."""
    import torch

    threads, kind, device = torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device()
    torch.set_default_dtype(torch.float32)
    elsewhere = device.type != "cpu"
    if elsewhere:
        torch.set_default_device(None)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(kind)
        if elsewhere:
            torch.set_default_device(device)


def with_depth(build: Callable[..., Any]) -> tuple[Callable[[int, int], Any], int | None]:
    """(the factory as a function of width and depth, the depth where the caller gives none; None: it takes no depth)."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = [item for item in inspect.signature(build).parameters.values() if item.kind in kinds]
    needed = [item for item in taken if item.default is inspect.Parameter.empty]
    if len(needed) == 2 or (len(taken) >= 2 and len(needed) < 2 and taken[1].name == "depth"):
        usual = taken[1].default
        return build, usual if isinstance(usual, int) else 2
    if len(needed) > 2 or not taken:
        raise InvalidRequest("build must take a width, or a width and a depth")
    return lambda width, depth: build(width), None  # noqa: ARG005
