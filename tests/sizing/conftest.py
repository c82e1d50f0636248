"""Jobs in processes of their own, with what they took measured."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Measure = Callable[[dict[str, Any]], dict[str, Any]]

JOB = """
import ctypes, gc, json, resource, sys, threading, time
from pathlib import Path

import torch

torch.set_num_threads(1)
from hpo.training.machine_speed import measure_speed
from hpo.study import Study
from windtunnel.types import JobSpec


def resident(field):
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def anonymous():
    with open("/proc/self/statm") as file:
        _, pages, shared, *_ = file.read().split()
    return (int(pages) - int(shared)) * resource.getpagesize()


def run(fields):
    study = Study(JobSpec.model_validate(fields))
    for step in study:
        pass
    return study.finish()


fields = json.loads(sys.argv[1])
tiny = {**fields, "model": {**fields.get("model", {}), "width": 16}, "inner": {"steps": 2, "batch_size": 4, "seeds": 1}}
run({**tiny, "outer": {"steps": 1, "finish_seeds": 2}})
gc.collect()
ctypes.CDLL("libc.so.6").malloc_trim(0)
Path("/proc/self/clear_refs").write_text("5")
before = measure_speed(time.process_time)
size, held, over = resident("VmRSS"), anonymous(), threading.Event()
most = held


def look():
    global most
    while not over.wait(0.005):
        most = max(most, anonymous())


looking = threading.Thread(target=look)
looking.start()
began = time.process_time()
result = run(fields)
seconds = time.process_time() - began
over.set()
looking.join()
print(json.dumps({
    "bytes": max(resident("VmHWM") - size, most - held),
    "seconds": seconds,
    "run_equivalents": result.cost.run_equivalents,
    "speeds": [speed.model_dump() for speed in (before, measure_speed(time.process_time))],
}))
"""


@pytest.fixture(scope="session")
def measure() -> Measure:
    """Runs a whole job in a fresh process on one thread: bytes its peak grew by, seconds, run-equivalents, speeds.

    Seconds and speeds are the processor's: on one thread a job that waits for nothing takes as many, and other tests run
    meanwhile.
    Bytes are the larger of two that are both too small at times: the growth of the peak of all resident memory, from which
    a kernel may take pages of libraries meanwhile; and that of anonymous memory, looked at 200 times a second.
    A tiny job of the same kind runs first, so that libraries have loaded what they load once.
    """

    def measured(fields: dict[str, Any]) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", JOB, json.dumps(fields)], capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return measured
