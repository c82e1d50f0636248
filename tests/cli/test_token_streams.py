"""A stream of two gigabytes, uploaded and tuned for two steps, in the memory that a small one takes."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.cli.conftest import Server
from windtunnel.client import Client

MIB = 2**20
SMALL = {
    "model": {"width": 16, "depth": 1},
    "inner": {"steps": 2, "batch_size": 4, "seeds": 1, "context": 32},
    "search": [{"name": "learning_rate", "low": 1e-4, "high": 0.03}],
    "outer": {"steps": 1, "finish_seeds": 2, "budget": 20},
}


class Peaks(threading.Thread):
    """Largest resident memory, by process, of a server, its worker, its job processes and the readers of its uploads."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.server, self.over = psutil.Process(pid), threading.Event()
        self.found: dict[int, tuple[str, int]] = {}

    def run(self) -> None:
        # A look takes as long as some packets of an upload: this thread and the sender share a core.
        while not self.over.wait(0.2):
            for process in [self.server, *self.server.children(recursive=True)]:
                with contextlib.suppress(psutil.Error, OSError):
                    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                    for line in lines:
                        if line.startswith("VmHWM"):  # a process that has ended has none
                            self.found[process.pid] = " ".join(process.cmdline()[:4]), int(line.split()[1]) // 1024

    def by_command(self) -> dict[str, int]:
        """Command line -> MiB of the process that took most."""
        found: dict[str, int] = {}
        for command, most in self.found.values():
            found[command] = max(most, found.get(command, 0))
        return found


@pytest.fixture
def sparse(tmp_path: Path) -> Iterator[Path]:
    """A file of a billion tokens, all of them zeros but for a thousand here and there: 2 GB that take no room."""
    path = tmp_path / "long.bin"
    write(path, 2 * 10**9)
    yield path
    path.unlink()


def write(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for number in range(1000):
            file.seek(number * (size // 1000) // 2 * 2)
            file.write(np.uint16([number % 500]).tobytes())


def tuned(server: Server, path: Path) -> dict[str, int]:
    """Peaks while a file is uploaded and a job on it runs."""
    peaks = Peaks(server.process.pid)
    peaks.start()
    with Client(server.url, timeout=120) as client:
        dataset = client.datasets.upload(path, dtype="uint16", vocabulary=512)
        result = client.jobs.create(task=dataset, **SMALL).wait(progress=False)
    peaks.over.set()
    peaks.join()
    assert result.provenance.data_sha256 == dataset.sha256
    return peaks.by_command()


@pytest.mark.slow
def test_two_gigabytes_of_tokens_take_the_memory_of_a_few(serve, tmp_path, sparse):
    small = tmp_path / "short.bin"
    write(small, 2 * 10**6)
    server = serve("--threads", "1")
    before = tuned(server, small)
    after = tuned(server, sparse)
    assert set(before) == set(after)
    assert {name: after[name] - before[name] for name in before if after[name] - before[name] >= 200} == {}
