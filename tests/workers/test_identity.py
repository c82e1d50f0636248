"""A worker's name tells its neighbours whether it still lives."""

import os
import subprocess
import sys

from workers import identity


def renamed(worker: str, **parts: str) -> str:
    machine, pid, start, slot = worker.split(":")
    return ":".join([parts.get("machine", machine), parts.get("pid", pid), parts.get("start", start), slot])


def test_a_process_that_runs_is_not_dead() -> None:
    worker = identity.worker_id(3)
    assert worker.split(":")[1] == str(os.getpid()) and worker.endswith(":3")
    assert not identity.is_dead(worker)


def test_a_process_that_has_ended_is_dead() -> None:
    program = "from workers import identity; print(identity.worker_id(0))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert identity.is_dead(ended.stdout.strip())


def test_a_process_that_is_not_reaped_yet_is_dead() -> None:
    program = "from workers import identity; print(identity.worker_id(0), flush=True)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        worker = child.stdout.read().strip()  # until it has closed its end
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identity.is_dead(worker)


def test_another_process_with_the_same_id_is_not_the_same_worker() -> None:
    assert identity.is_dead(renamed(identity.worker_id(0), start="1000.00"))


def test_the_dead_of_another_machine_are_not_ours_to_judge() -> None:
    assert not identity.is_dead(renamed(identity.worker_id(0), machine="elsewhere-12345678", start="1000.00"))
    assert not identity.is_dead("worker-1")
