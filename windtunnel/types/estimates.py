"""What a job would take, told before anything is spent."""

from typing import Literal

from pydantic import Field

from windtunnel.types.base import Response
from windtunnel.types.problems import FieldError


class MachineSpeed(Response):
    """What a core does, measured with the threads that a job gets."""

    dispatch_seconds: float
    """Time of one small operation and its derivative, which is all overhead."""
    flops_per_second: float
    """Of batched matrix products in float32."""
    bytes_per_second: float
    """Read and written by elementwise sums of arrays larger than caches."""


REFERENCE = MachineSpeed(dispatch_seconds=9e-6, flops_per_second=1.5e11, bytes_per_second=1.5e10)
"""One core of a server with AVX-512; stands in where no worker has measured its own."""


class PhaseEstimate(Response):
    """One phase of the job."""

    phase: Literal["scout", "tune", "finish", "certify", "check"]
    run_equivalents: float
    """Cost in plain training runs of the proxy."""
    seconds: float


class MemoryEstimate(Response):
    """Peak memory of the populations that train together, in bytes, above what the process itself takes."""

    peak: int
    plain: int
    """Of plain runs: ``members`` at a time."""
    hypergradient: int
    """Of one outer step's hypergradient: all seeds at once, of as many starts as a plain population holds."""
    checks: int
    """Of what is measured at the best point for the transfer; 0 where nothing is."""
    limit: int
    members: int
    fits: bool


class Estimate(Response):
    """Run-equivalents, seconds and memory of a job."""

    task: str
    estimator: str
    checkpointing: str
    """Which states the reverse pass keeps: ``none`` (every one), ``sqrt``, or every N-th. ``-`` for other estimators."""
    parameters: int
    """Of the proxy."""
    hyperparameters: int
    """Single values that the search items stand for."""
    phases: list[PhaseEstimate]
    run_equivalents: float
    seconds: float
    memory: MemoryEstimate
    notes: list[str] = Field(default_factory=list)
    """What the numbers leave out, in words."""
    changes: list[FieldError]
    """Where it does not fit: fields with values that would. A job is refused with the same errors."""
    speed: MachineSpeed
    measured_by: str | None
    """The worker whose speed this is; None: a reference core, for no worker has measured its own."""
