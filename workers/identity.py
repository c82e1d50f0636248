"""Names of workers: each says which process on which machine, so that a neighbour can tell whether it still lives."""

import functools
import hashlib
import os
import socket
from pathlib import Path

import psutil

CLOCK_TOLERANCE = 2.0
"""Seconds by which two readings of a process's start may differ; no process id comes round again so soon."""


def worker_id(slot: int) -> str:
    """``host:pid:start:slot`` of a slot of this process; ``start`` in seconds since 1970."""
    return f"{_machine()}:{os.getpid()}:{psutil.Process().create_time():.2f}:{slot}"


def is_dead(worker: str) -> bool:
    """True where this worker is certainly gone: of this machine, and its process is not there any more.

    A worker of another machine, or one whose name is of another form, is never called dead: its lease decides.
    """
    machine, _, rest = worker.partition(":")
    if machine != _machine():
        return False
    pid, start, _ = rest.split(":")
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return bool(abs(process.create_time() - float(start)) > CLOCK_TOLERANCE)
    except psutil.NoSuchProcess:
        return True


def hostname() -> str:
    """The machine's name, as people know it."""
    return socket.gethostname()[:100]


@functools.cache
def _machine() -> str:
    """The machine's name and a mark of its process table, for two containers may share a name but no process ids."""
    parts = []
    for read in (_boot_id, _process_namespace):
        try:
            parts.append(read())
        except OSError:  # not a Linux machine; there the name must do
            parts.append("")
    mark = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
    return f"{hostname().replace(':', '-')}-{mark}"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _process_namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())
