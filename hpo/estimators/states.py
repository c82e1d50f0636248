"""Stacks of optimizer states: in memory, in the memory of the host beside a device's, or in a file without a name.

A reverse pass takes the states that it kept in the reverse order, so each place is a stack.
"""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from hpo.errors import OutOfMemory
from hpo.estimators.facts.storage import Place
from hpo.optimizers.rule import OptimizerState

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a file for which there is no room."""


class StateStack(Protocol):
    """States on top of each other. A state that was pushed is not changed until it is popped."""

    def push(self, state: OptimizerState) -> None:
        """Puts a state on top.

        Raises:
            OutOfMemory: there is no room for it.
        """
        ...

    def pop(self) -> OptimizerState:
        """Takes the state on top off, in the memory of the device that computes, bit for bit as it was pushed."""
        ...

    def close(self) -> None:
        """Gives up what the stack holds."""
        ...


class MemoryStack:
    """States as they are, in the memory of the device that computes."""

    def __init__(self) -> None:
        self._states: list[OptimizerState] = []

    def push(self, state: OptimizerState) -> None:
        """Puts a state on top; no number is copied."""
        self._states.append(state)

    def pop(self) -> OptimizerState:
        """Takes the state on top off."""
        return self._states.pop()

    def close(self) -> None:
        """Drops all states."""
        self._states.clear()


class HostStack:
    """States of a CUDA device in page-locked memory of its machine, copied beside the computation.

    Copies go through a stream of their own, two states in flight: while one is worked on, the one below it comes in.

    Args:
        device: the CUDA device that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._copying = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._held: list[tuple[Tensor, ...]] = []
        self._spare: list[tuple[Tensor, ...]] = []
        self._coming: tuple[OptimizerState, torch.cuda.Event] | None = None

    def push(self, state: OptimizerState) -> None:
        """Puts a copy of a state on top, without waiting for it to arrive."""
        self._coming = None
        held = (
            self._spare.pop() if self._spare else tuple(torch.empty_like(part, device="cpu").pin_memory() for part in state)
        )
        self._copying.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._copying):
            for place, part in zip(held, state, strict=True):
                place.copy_(part, non_blocking=True)
                part.record_stream(self._copying)
        self._held.append(held)

    def pop(self) -> OptimizerState:
        """Takes the state on top off, and begins to fetch the one below."""
        state, arrived = self._coming or self._fetch()
        torch.cuda.current_stream(self._device).wait_event(arrived)
        for part in state:
            part.record_stream(torch.cuda.current_stream(self._device))
        self._spare.append(self._held.pop())
        self._coming = self._fetch() if self._held else None
        return state

    def _fetch(self) -> tuple[OptimizerState, torch.cuda.Event]:
        with torch.cuda.stream(self._copying):
            found = tuple(part.to(self._device, non_blocking=True) for part in self._held[-1])
            return found, self._copying.record_event()

    def close(self) -> None:
        """Drops all states, once every copy is over."""
        self._copying.synchronize()
        self._held, self._spare, self._coming = [], [], None


class FileStack:
    """States in a file of the folder for temporary files (``TMPDIR``).

    The file has no name, so its room is free again as soon as the process has ended, however it ends. States are written
    and read at their place; the pages are the system's, not the process's, and a full disk is an error of this process.
    Mapped memory would count as the process's own, and a full disk would kill it.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - ``close`` closes it
        self._depth = 0
        self._like: OptimizerState = ()
        self._bytes = 0

    def push(self, state: OptimizerState) -> None:
        """Writes a state to the end of the file.

        Raises:
            OutOfMemory: the disk is full.
        """
        if not self._like:
            self._like = tuple(torch.empty(0, dtype=part.dtype, device=part.device).expand(0) for part in state)
            self._shapes = [part.shape for part in state]
            self._bytes = sum(part.numel() * part.element_size() for part in state)
        place = self._depth * self._bytes
        for part in state:
            place = self._through(os.pwrite, part.cpu().contiguous(), place)
        self._depth += 1

    def pop(self) -> OptimizerState:
        """Reads the state at the end of the file, and tells the system which one comes next."""
        self._depth -= 1
        place, found = self._depth * self._bytes, []
        for like, shape in zip(self._like, self._shapes, strict=True):
            part = torch.empty(shape, dtype=like.dtype)
            place = self._through(_read, part, place)
            found.append(part.to(like.device))
        if self._depth and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), (self._depth - 1) * self._bytes, self._bytes, os.POSIX_FADV_WILLNEED)
        return tuple(found)

    def _through(self, move: "Callable[[int, memoryview, int], int]", part: Tensor, place: int) -> int:
        """Moves all bytes of a tensor from or to the file, and gives the place after them."""
        left = memoryview(part.view(-1).view(torch.uint8).numpy().data)
        while left:
            try:
                moved = move(self._file.fileno(), left, place)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                raise OutOfMemory(
                    f"no room for optimizer states in {tempfile.gettempdir()}, at {place / 1e9:.3g} GB",
                    "give the folder for temporary files more room, name another in TMPDIR, or use method.checkpointing "
                    "'log', which keeps fewer states",
                ) from error
            if not moved:
                raise EOFError(f"the file of optimizer states ends at byte {place}")
            left, place = left[moved:], place + moved
        return place

    def close(self) -> None:
        """Frees the file's room."""
        self._file.close()


def _read(file: int, into: memoryview, place: int) -> int:
    return os.preadv(file, [into], place)


def _in_memory(_: torch.device) -> StateStack:
    return MemoryStack()


def _on_host(device: torch.device) -> StateStack:
    # The memory of a CPU is that of its machine.
    return HostStack(device) if device.type == "cuda" else MemoryStack()


def _in_a_file(_: torch.device) -> StateStack:
    return FileStack()


STACKS: Mapping[Place, Callable[[torch.device], StateStack]] = {
    "device": _in_memory,
    "host": _on_host,
    "file": _in_a_file,
}


@contextmanager
def states_in(place: Place, device: torch.device) -> Iterator[StateStack]:
    """An empty stack in that place for states of a device; it is given up when the context ends."""
    stack = STACKS[place](device)
    try:
        yield stack
    finally:
        stack.close()
