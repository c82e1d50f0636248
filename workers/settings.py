"""Settings of a worker, from the environment with the prefix ``WINDTUNNEL_``."""

import os
from typing import Self

from pydantic import Field, model_validator

from store.settings import StoreSettings


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerSettings(StoreSettings):
    """How many jobs run at once, with how many threads, and when a silent one is given up. Times are in seconds."""

    slots: int = Field(1, ge=1, le=1024)
    """Jobs that run at the same time."""
    threads: int | None = Field(None, ge=1, le=1024)
    """Compute threads of each job; by default the slots share all cores but one, which the service and the user need."""
    poll: float = Field(0.5, gt=0)
    """Between two looks for jobs that wait."""
    lease_ttl: float = Field(60.0, gt=0)
    """How long a job stays with a worker that has fallen silent."""
    beat: float = Field(10.0, gt=0)
    """Between two renewals of a lease."""
    stall_timeout: float = Field(300.0, gt=0)
    """A job process that finishes no inner step for so long is stopped."""
    grace: float = Field(30.0, ge=0)
    """From the request to stop until the process is killed."""

    @model_validator(mode="after")
    def _renewed_in_time(self) -> Self:
        if self.beat > self.lease_ttl / 3:
            raise ValueError(
                f"a lease must be renewed at least three times in its life: beat {self.beat:g} s needs lease_ttl of "
                f"{3 * self.beat:g} s or more, got {self.lease_ttl:g} s"
            )
        return self

    @property
    def threads_per_job(self) -> int:
        """Compute threads in force."""
        return self.threads or max(1, (available_cores() - 1) // self.slots)
