"""The job process as its supervisor sees it: started in a session of its own, watched, asked to stop, killed, its end."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from enum import IntEnum

from store.leases import Lease
from workers.settings import CPU, WorkerSettings

PIPE_READ = 4096

SAFETY = 1 / 6
"""Share of the lease's life before its end at which a process whose lease was not renewed ends."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Exit(IntEnum):
    """Exit status by which a job process tells its supervisor how it ended. Other statuses, and signals, are crashes."""

    SETTLED = 0
    """The job's next state is in the database: it succeeded, failed, or went back to the queue after a crash."""
    STOPPED = 10
    """The process was asked to stop, by SIGTERM or by a cancel flag, and wrote nothing about it."""
    LEASE_LOST = 11
    """The job belongs to another epoch; nothing was written."""
    ORPHANED = 12
    """The supervisor has gone."""
    UNRENEWED = 13
    """The supervisor did not say in time that the lease goes on: the database, or the supervisor, does not answer."""


class Child:
    """A running job process. Other threads may call ``nudge`` only.

    Args:
        settings: passed on through the environment.
        lease: the job to run; its thread count is the one that holds.
        lease_left: seconds for which the lease is good now; then the process ends, unless ``renew`` is called.
        device: ``cpu``, or the GPU that the process sees, and no other.

    Raises:
        OSError: the process could not be started.
    """

    def __init__(self, settings: WorkerSettings, lease: Lease, lease_left: float, device: str = "cpu") -> None:
        self._dots, dots = os.pipe()
        self._nudged, self._nudge = socket.socketpair()
        self._nudge.setblocking(False)
        self._closing = threading.Lock()
        command = [sys.executable, "-m", "workers.run_slice", "--job", lease.job_id, "--epoch", str(lease.epoch)]
        command += ["--worker", lease.worker_id, "--threads", str(lease.threads), "--dots", str(dots)]
        command += ["--device", device if device == CPU else "cuda:0"]
        if lease.population is not None:
            command += ["--population", str(lease.population)]
        command += ["--lease-left", str(lease_left), "--lease-renewed", str(safe(settings.lease_ttl))]
        try:
            self.process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                bufsize=0,
                pass_fds=(dots,),
                start_new_session=True,
                env=_environment(settings, lease.threads, device),
            )
        except OSError:
            self._close()
            raise
        finally:
            os.close(dots)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._dots, selectors.EVENT_READ)
        self._selector.register(self._nudged, selectors.EVENT_READ)
        self.advanced_at = time.monotonic()
        """Monotonic time of the last inner step that it showed; at first that of its start."""
        self.has_advanced = False
        """True once it has shown an inner step."""

    def watch(self, seconds: float) -> bool:
        """Wait until something happens, at most so long; False once the process has closed its pipe: it has ended."""
        for key, _ in self._selector.select(max(seconds, 0.0)):
            received = os.read(key.fd, PIPE_READ)
            if key.fd == self._dots:
                if not received:
                    return False
                self.advanced_at, self.has_advanced = time.monotonic(), True
        return True

    def renew(self) -> None:
        """Tell it that the lease goes on."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has just ended
            self.process.stdin.write(b".")

    def nudge(self) -> None:
        """Make ``watch`` return now."""
        # A full socket has nudges enough; a closed one belongs to a child that has ended.
        with self._closing, contextlib.suppress(OSError):
            self._nudge.send(b"!")

    def terminate(self) -> None:
        """Ask it to stop at its next inner step."""
        self._signal(signal.SIGTERM)

    def let_go(self) -> None:
        """Ask it to stop at its next checkpoint. Only once it has advanced: before that it cannot hear this."""
        self.process.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End it and everything it started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not reaped yet, so the id is still its own and that of its group, even if it has just ended.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def end(self, seconds: float) -> int:
        """Wait for the process, kill it if it takes longer than that, free everything; its exit status (-n: signal n)."""
        try:
            status = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._selector.close()
        self._close()
        return status

    def _close(self) -> None:
        os.close(self._dots)
        with self._closing:
            self._nudged.close()
            self._nudge.close()


def safe(seconds: float) -> float:
    """Share of a lease's life in which the process may go on without a renewal, so that it has ended before the lease."""
    return seconds * (1 - SAFETY)


def _environment(settings: WorkerSettings, threads: int, device: str) -> dict[str, str]:
    return {
        **os.environ,
        **({} if device == CPU else _seeing(int(device.partition(":")[2]))),
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        # Threads that wait for each other must sleep: on a busy machine, spinning ones made a job crawl.
        "OMP_WAIT_POLICY": "PASSIVE",
        "WINDTUNNEL_DATABASE_URL": settings.url,
        "WINDTUNNEL_DATA_DIR": str(settings.data_dir.absolute()),
        "WINDTUNNEL_MAX_POPULATION_BYTES": str(settings.max_population_bytes),
        "WINDTUNNEL_LOG_FORMAT": settings.log_format,
    }


def _seeing(index: int) -> dict[str, str]:
    """Environment of a process that sees one GPU, and computes on it the same bits again."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return {
        # The worker's own list renumbers the GPUs: its cuda:0 may be the machine's fifth.
        "CUDA_VISIBLE_DEVICES": visible[index] if index < len(visible) else str(index),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
