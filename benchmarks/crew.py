"""Starts and kills worker processes of a private fleet."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

CELERY = ("-m", "celery", "--quiet", "-A", "workers.celery_app", "worker", "--without-mingle", "--without-gossip")
LOCAL = ("-m", "workers.main")


class Crew:
    """Worker processes with the same settings.

    Args:
        settings: variables without their prefix, such as ``LEASE_TTL``.
        log: file for their output.
    """

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WINDTUNNEL_")},
            **{f"WINDTUNNEL_{name}": value for name, value in settings.items()},
            "OMP_NUM_THREADS": "1",
        }
        self._log = log.open("ab")
        self.workers: list[psutil.Popen] = []

    def start(self, program: Sequence[str] = CELERY, before: Sequence[str] = ()) -> psutil.Popen:
        """Start one more worker, under the command ``before`` if it is given, and return its process."""
        command = [*before, sys.executable, *program]
        worker = psutil.Popen(command, env=self.environment, stderr=self._log, stdout=subprocess.DEVNULL)
        self.workers.append(worker)
        return worker

    @property
    def alive(self) -> list[psutil.Popen]:
        """Workers that still run."""
        return [worker for worker in self.workers if worker.poll() is None]

    def end(self) -> None:
        """Kill all workers that still run, with their job processes."""
        for worker in self.alive:
            for child in worker.children(recursive=True):
                child.kill()
            worker.kill()
            worker.wait()
        self._log.close()


def job_process(worker: psutil.Popen) -> psutil.Process | None:
    """The job process of a worker; None if it runs no job."""
    try:
        return next((child for child in worker.children() if child.status() != psutil.STATUS_ZOMBIE), None)
    except psutil.NoSuchProcess:
        return None
