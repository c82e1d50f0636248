"""Turns an allocation that failed into an error that says what would need less memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hpo.errors import OutOfMemory
from windtunnel.types import JobSpec

SIGNS = (
    "can't allocate memory",
    "not enough memory",
    "Cannot allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""Parts of the messages of torch's CPU allocator, which has no exception type of its own, and of CUDA's libraries, which
allocate by themselves."""


@contextmanager
def allocation_failures_named(spec: JobSpec) -> Iterator[None]:
    """Context that turns an allocation that failed into ``OutOfMemory``; every other error passes through.

    Raises:
        OutOfMemory: torch could not allocate a tensor.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(sign in str(error) for sign in SIGNS):
            raise
        several = spec.outer.starts > 1
        at = f" at {spec.outer.starts} starts" if several else ""
        fewer = "outer.starts, fewer " if several else ""
        raise OutOfMemory(
            f"out of memory with {spec.inner.seeds} seeds{at} of a proxy of width {spec.model.width} and depth "
            f"{spec.model.depth} over {spec.inner.steps} steps",
            f"use fewer {fewer}inner.seeds ({max(1, spec.inner.seeds // 2)} need half of it), a smaller model.width, or "
            "method.checkpointing 'sqrt'",
        ) from error
