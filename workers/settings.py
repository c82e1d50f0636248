"""Settings of a worker, from the environment with the prefix ``WINDTUNNEL_``."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator
from pydantic_settings import NoDecode

from store.settings import StoreSettings

CPU, AUTO = "cpu", "auto"
DEVICE = re.compile(r"cpu|cuda:\d{1,3}")
"""Pattern of a device's name."""


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerSettings(StoreSettings):
    """Settings of a worker: jobs at once, threads, and when a silent job is given up. Times are in seconds."""

    slots: int = Field(1, ge=1, le=1024)
    """Jobs that run at the same time."""
    threads: int | None = Field(None, ge=1, le=1024)
    """Compute threads of each job; by default the slots share all cores but one, which the service and the user need."""
    poll: float = Field(0.5, gt=0)
    """Between two looks for jobs that wait."""
    lease_ttl: float = Field(60.0, gt=0)
    """Seconds that a job stays with a worker that has fallen silent."""
    beat: float = Field(10.0, gt=0)
    """Between two renewals of a lease."""
    stall_timeout: float = Field(300.0, gt=0)
    """A job process that finishes no inner step for so long is stopped."""
    grace: float = Field(30.0, ge=0)
    """Seconds from the request to stop until the process is killed."""
    slice: float = Field(600.0, gt=0)
    """Seconds that a job keeps its worker while others wait; then it releases the worker at its next checkpoint."""
    broker_url: str | None = None
    """``redis://host:port/0``: where Celery rings; without one there is no Celery, and workers look into the database."""
    devices: Annotated[tuple[str, ...], NoDecode] = ("cpu",)
    """Devices, each with one supervisor and one job at a time: ``cpu``, or GPUs by their index, ``cuda:0,cuda:1``; or
    ``auto``: every GPU where there is one, else the CPU."""
    _titles: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("devices", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("devices")
    @classmethod
    def _known(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        if devices == (AUTO,):
            return devices
        bad = [name for name in devices if not DEVICE.fullmatch(name)]
        if bad or not devices:
            raise ValueError(
                "name devices as cpu, or as cuda: and an index, with commas between: cpu or cuda:0,cuda:1; or auto alone"
            )
        if len(set(devices)) != len(devices):
            raise ValueError("a device is named twice; a CPU runs several jobs with WINDTUNNEL_SLOTS, a GPU runs one")
        return devices

    @field_validator("broker_url")
    @classmethod
    def _redis(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "redis+socket://")):
            raise ValueError("the broker is Redis: redis://host:port/0, rediss:// with TLS, redis+socket:///path")
        return url

    @model_validator(mode="after")
    def _renewed_in_time(self) -> Self:
        if self.beat > self.lease_ttl / 3:
            raise ValueError(
                f"a lease must be renewed at least three times in its life: beat {self.beat:g} s needs lease_ttl of "
                f"{3 * self.beat:g} s or more, got {self.lease_ttl:g} s"
            )
        return self

    def on(self, titles: Mapping[str, str]) -> Self:
        """The settings with these devices, each with its model and memory."""
        found = self.model_copy(update={"devices": tuple(titles)})
        found._titles = dict(titles)
        return found

    def title(self, device: str) -> str:
        """A device as the fleet's list shows it: with model and memory, once it was looked for."""
        return self._titles.get(device, device)

    @property
    def threads_per_job(self) -> int:
        """Compute threads in force."""
        return self.threads or max(1, (available_cores() - 1) // len(self.places))

    @property
    def places(self) -> tuple[str, ...]:
        """The device of each slot: a GPU has one, a CPU has ``slots``."""
        return tuple(name for device in self.devices for name in (self.slots if device == "cpu" else 1) * [device])
