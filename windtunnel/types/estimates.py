"""Estimates of the cost, time and memory of a job, made before it is submitted."""

from typing import Literal

from pydantic import Field

from windtunnel.types.base import Response
from windtunnel.types.problems import FieldError


class MachineSpeed(Response):
    """Speed of a core, measured with the threads that a job gets."""

    dispatch_seconds: float
    """Time of one small operation and its derivative: overhead alone."""
    flops_per_second: float
    """Floating-point operations a second of batched matrix products in float32."""
    bytes_per_second: float
    """Bytes a second that elementwise sums of arrays larger than the caches read and write."""


REFERENCE = MachineSpeed(dispatch_seconds=9e-6, flops_per_second=1.5e11, bytes_per_second=1.5e10)
"""Speed of one core of a server with AVX-512; used where no worker has measured its own."""


class PhaseEstimate(Response):
    """One phase of the job."""

    phase: Literal["scout", "tune", "finish", "certify", "check"]
    run_equivalents: float
    """Cost in plain training runs of the proxy."""
    seconds: float


class MemoryEstimate(Response):
    """Peak memory of the populations that train together, in bytes, without the memory of the process itself."""

    peak: int
    plain: int
    """Peak of plain training runs, ``members`` at a time."""
    hypergradient: int
    """Peak of one outer step's hypergradient: all seeds at once, for as many starts as a plain population holds."""
    checks: int
    """Peak of the measurements for the transfer at the best point; 0 where nothing is measured."""
    limit: int
    members: int
    fits: bool


class Estimate(Response):
    """Estimated run-equivalents, seconds and memory of a job."""

    task: str
    estimator: str
    checkpointing: str
    """States that the reverse pass keeps: ``none`` (every one), ``sqrt``, ``log``, or every N-th. ``-`` for other
    estimators."""
    states_in: str = "-"
    """Place of the kept states: ``device``, ``host`` or ``file``. ``-`` for other estimators."""
    file_bytes: int = 0
    """Room in the folder for temporary files that the states take; 0 unless they lie in a file."""
    parameters: int
    """Number of parameters of the proxy."""
    hyperparameters: int
    """Number of single values that are searched, over all search items."""
    phases: list[PhaseEstimate]
    run_equivalents: float
    seconds: float
    memory: MemoryEstimate
    notes: list[str] = Field(default_factory=list)
    """Sentences about work that the numbers leave out."""
    changes: list[FieldError]
    """Fields to change, with values that fit, if the job needs too much memory. Submitting it gives the same errors."""
    speed: MachineSpeed
    measured_by: str | None
    """Id of the worker that measured ``speed``; None: no worker has, and ``speed`` is that of a reference core."""
