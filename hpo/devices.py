"""Devices that compute: choice by name, facts about them, and what is missing where one is not there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hpo.errors import NoDevice

AUTO, CPU = "auto", "cpu"


@dataclass(frozen=True)
class DeviceFacts:
    """Name, model and memory of one device."""

    name: str
    """Name by which torch knows it: ``cpu``, ``cuda:0``."""
    title: str
    """Model of the device."""
    memory_bytes: int | None
    """Memory of a GPU, bytes; None for a CPU, which shares that of the machine."""
    driver: str | None
    """Version of the GPU's driver; None for a CPU."""
    build: str
    """Version of torch and what it was built for."""

    @property
    def words(self) -> str:
        """The device in a few words: ``cuda:0 NVIDIA H200, 139 GiB``."""
        if self.memory_bytes is None:
            return self.name
        return f"{self.name} {self.title}, {self.memory_bytes / 2**30:.0f} GiB"


def torch_build() -> str:
    """Version of torch, with the CUDA or ROCm version that it was built for."""
    made = f"CUDA {torch.version.cuda}" if torch.version.cuda else None
    made = made or (f"ROCm {torch.version.hip}" if torch.version.hip else "the CPU alone")
    return f"torch {torch.__version__}, built for {made}"


def why_no_gpu() -> str | None:
    """Reason why torch cannot compute on a GPU here; None if it can."""
    if torch.cuda.is_available():
        return None
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return f"this is {torch_build()}, which cannot compute on a GPU"
    return f"{torch_build()} finds no GPU: there is none, its driver is not loaded, or CUDA_VISIBLE_DEVICES hides it"


def device_of(name: str) -> torch.device:
    """The device of that name: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``, which is the first GPU where there is one.

    Raises:
        NoDevice: there is no such device; the message says what is missing.
    """
    if name == AUTO:
        return torch.device(CPU if why_no_gpu() else "cuda:0")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in (CPU, "cuda"):
        raise NoDevice(f"{name!r} is no device", "allowed: cpu, cuda, cuda: and an index as in cuda:1, auto")
    if device.type == CPU:
        return device
    if (missing := why_no_gpu()) is not None:
        raise NoDevice(
            f"device {name} is not here: {missing}",
            "install a torch that is built for CUDA and NVIDIA's driver (nvidia-smi lists the GPUs), or use device cpu",
        )
    count, index = torch.cuda.device_count(), device.index or 0
    if index >= count:
        raise NoDevice(f"device {name} is not here: there are {count} GPUs, cuda:0 to cuda:{count - 1}", None)
    return torch.device("cuda", index)


def gpus() -> list[str]:
    """Names of the GPUs that torch can use here."""
    return [] if why_no_gpu() else [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def facts_of(device: torch.device) -> DeviceFacts:
    """Name, model, memory and torch build of a device that is here."""
    if device.type != "cuda":
        return DeviceFacts(str(device), "CPU", None, None, torch_build())
    found = torch.cuda.get_device_properties(device)
    return DeviceFacts(str(device), found.name, found.total_memory, _driver(), torch_build())


def _driver() -> str:
    """Version of the driver, from the kernel where it says it, else by the newest CUDA version that it can run."""
    if (told := Path("/proc/driver/nvidia/version")).exists():
        numbers = [word for word in told.read_text().split() if word[:1].isdigit() and "." in word]
        if numbers:
            return numbers[0]
    version = int(torch._C._cuda_getDriverVersion())  # type: ignore[attr-defined]
    return f"for CUDA {version // 1000}.{version % 1000 // 10}"


def room(device: torch.device) -> int | None:
    """Bytes of a GPU that populations may take, nine tenths of its memory; None for a CPU, which has no own limit."""
    memory = facts_of(device).memory_bytes
    return None if memory is None else memory * 9 // 10


def at_once(device: torch.device) -> bool:
    """Whether a tensor's values are there when a call returns; on a GPU reading one waits for all work before it."""
    return device.type == CPU


def moved(tables: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The tensors on a device; the host does not wait for them to arrive. Differentiable."""
    return {name: table.to(device, non_blocking=True) for name, table in tables.items()}
