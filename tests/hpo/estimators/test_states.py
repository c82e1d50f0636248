"""Stacks of optimizer states: what is pushed comes back, files have no name, and a full disk is an error with advice."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hpo.errors import OutOfMemory
from hpo.estimators.facts.storage import Place
from hpo.estimators.states import FileStack, states_in

CPU = torch.device("cpu")
HOLDING = """
import sys
import torch
from hpo.estimators.states import FileStack
stack = FileStack()
stack.push((torch.ones(2, 50_000),))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("place", ["device", "host", "file"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_states_come_back_in_the_reverse_order_bit_for_bit(place: Place, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    states = [tuple(torch.randn(3, 7, generator=generator, dtype=dtype) for _ in range(2)) for _ in range(5)]
    states[2][0][0, 0] = torch.nan
    with states_in(place, CPU) as stack:
        for state in states[:4]:
            stack.push(state)
        found = [stack.pop(), stack.pop()]
        stack.push(states[4])
        found += [stack.pop(), stack.pop(), stack.pop()]
    for state, back in zip([states[3], states[2], states[4], states[1], states[0]], found, strict=True):
        for part, same in zip(state, back, strict=True):
            assert torch.equal(part.view(torch.uint8), same.view(torch.uint8))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for a process's files in /proc")
def test_a_killed_process_leaves_no_file(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        open_files = [
            entry.stat().st_size for entry in Path(f"/proc/{child.pid}/fd").iterdir() if str(tmp_path) in target(entry)
        ]
        assert open_files == [400_000]
        assert list(tmp_path.iterdir()) == []
        child.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def target(entry: Path) -> str:
    """File that a descriptor is open on; empty if it was closed meanwhile."""
    try:
        return str(entry.readlink())
    except FileNotFoundError:
        return ""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files, which Windows cannot")
def test_a_full_disk_is_named_with_what_would_help() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    stack = FileStack()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        stack.push((torch.ones(1, 200_000),))
        with pytest.raises(OutOfMemory, match=r"no room for optimizer states in .*TMPDIR.*method.checkpointing 'log'"):
            stack.push((torch.ones(1, 200_000),))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        stack.close()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="states go to the host from a CUDA device")
def test_states_of_a_cuda_device_come_back_from_the_host() -> None:
    device = torch.device("cuda:0")
    states = [(torch.randn(4, 100_000, device=device), torch.randn(4, 100_000, device=device)) for _ in range(6)]
    expected = [tuple(part.clone() for part in state) for state in states]
    with states_in("host", device) as stack:
        for state in states:
            stack.push(state)
        del states
        for state in reversed(expected):
            assert all(torch.equal(part, same) for part, same in zip(state, stack.pop(), strict=True))
