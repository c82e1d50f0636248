"""The job process, ``python -m workers.run_slice``: one attempt at one job. A supervisor starts it.

Standard input is the lifeline: the supervisor puts a byte on it with each renewal of the lease. When it closes, or the
lease is about to run out by the monotonic clock, this process ends at once, wherever it is: all it writes, it writes
in transactions.
Each inner step puts a dot on the pipe ``--dots``, so that the supervisor sees it advance. SIGTERM stops at the next inner
step, SIGUSR1 at the next checkpoint. Database and folders come from the environment, where passwords do not show in the
list of processes.
"""

import argparse
import logging
import os
import select
import signal
import sys
import threading
import time
from math import inf
from typing import Any, NoReturn

from store import held_jobs, identifiers, logs, workers
from store.database import Database
from store.errors import LeaseLost
from store.leases import Lease
from store.settings import StoreSettings, read
from windtunnel.types import Failure, JobSpec, Progress, TransferPlan, TuneResult
from workers.child import Exit
from workers.patience import patiently
from workers.record import Record

DOT_INTERVAL = 0.1
"""Least seconds between two dots."""


PIPE_READ = 4096


class StopRequested(Exception):
    """The supervisor or the job's owner wants this process to stop."""


class Pulse:
    """Listens to inner steps: shows the supervisor that they happen, reports them, and stops the study when asked to.

    Args:
        dots: file descriptor of the supervisor's pipe.
    """

    def __init__(self, dots: int) -> None:
        os.set_blocking(dots, False)
        self.dots = dots
        self.record: Record | None = None
        self.let_go = False
        """True where the next checkpoint is the last one of this slice."""
        self._stopping = False
        self._next_dot = 0.0

    def ask_to_stop(self, *_: object) -> None:
        """Handler of SIGTERM: the next inner step is the last one."""
        self._stopping = True

    def ask_to_let_go(self, *_: object) -> None:
        """Handler of SIGUSR1: the next checkpoint is the last one."""
        self.let_go = True

    def __call__(self, progress: Progress) -> None:
        """Note that one inner step is over. Raises StopRequested."""
        now = time.monotonic()
        if now >= self._next_dot:
            self._next_dot = now + DOT_INTERVAL
            self._dot()
        if self._stopping or (self.record is not None and self.record.progress(progress)):
            raise StopRequested

    def _dot(self) -> None:
        try:
            os.write(self.dots, b".")
        except BlockingIOError:
            # The pipe is full because the supervisor is suspended; it must not suspend us, it will see the dots there are.
            return


def hold_lifeline(first: float, later: float) -> None:
    """End this process when its supervisor has gone, or has not renewed the lease.

    Args:
        first: seconds for which the lease is good now.
        later: seconds for which it is good after each renewal.
    """

    def wait() -> None:
        lifeline, good_for = sys.stdin.fileno(), first
        while select.select([lifeline], [], [], good_for)[0]:
            if not os.read(lifeline, PIPE_READ):
                os._exit(Exit.ORPHANED)
            good_for = later
        os._exit(Exit.UNRENEWED)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def run(settings: StoreSettings, lease: Lease, pulse: Pulse, device: str = "cpu") -> None:
    """Compute the job from its newest checkpoint to its end, whatever the end is.

    Raises:
        LeaseLost: the job is no longer ours.
        StopRequested: before the end.
    """
    # Importing torch takes seconds, and what came before must work meanwhile: the lifeline, the stop signal.
    from hpo.errors import HpoError, InvalidData, NoDevice, OutOfMemory
    from hpo.saving import spec_sha256
    from hpo.study import Study
    from workers.datasets import data_of

    database = Database(settings.url)
    spec = patiently(lambda: _spec(database, lease), inf)
    record = patiently(lambda: Record(database, lease, settings.data_dir, spec_sha256(spec)), inf)
    pulse.record = record
    try:
        _measure(database, lease, device)
        study = Study(
            spec,
            threads=lease.threads,
            max_bytes=_bytes(settings, spec, lease, device),
            device=device,
            population=lease.population,
            on_progress=pulse,
            data=patiently(lambda: data_of(spec, database, lease, settings.data_dir), inf),
        )
        record.resume(study.load_state_dict, InvalidData)
        for step in study:
            record.outer_step(step, study.state_dict())
            if pulse.let_go:
                raise StopRequested
        record.finishing()
        result = study.finish()
        record.succeed(result, *_transfer(result, lease))
    except OutOfMemory as error:
        _shrink(record, spec, _failure(error))
    except MemoryError as error:
        _shrink(record, spec, Failure(type="out_of_memory", message=f"out of memory: {error}", hint=SMALLER))
    except NoDevice as error:
        # The fault of this worker, not of the job: another one may have the device.
        record.crash(_failure(error))
    except HpoError as error:
        record.fail(_failure(error))
    except (LeaseLost, StopRequested):
        raise
    except Exception as error:
        # The boundary of the process: an unforeseen error becomes a crash that the job's owner can read.
        logging.exception("the job process met an error that nobody foresaw")
        record.crash(Failure(type="crashed", message=f"{type(error).__name__}: {error}"))
    finally:
        database.dispose()


SMALLER = "a smaller model.width, inner.batch_size or inner.seeds, or method.checkpointing 'sqrt', needs less memory"


def _bytes(settings: StoreSettings, spec: JobSpec, lease: Lease, device: str) -> int:
    """Memory for populations, on a GPU at most its own; less for a job that ran out of it, as it has fewer members
    at once."""
    from hpo.devices import device_of, room
    from hpo.footprint.memory import plain_members
    from hpo.footprint.sizes import Sizes

    full = plain_members(Sizes.of(spec, spec.info))
    limit = min(settings.max_population_bytes, room(device_of(device)) or settings.max_population_bytes)
    return limit * min(lease.population or full, full) // full


def _shrink(record: Record, spec: JobSpec, failure: Failure) -> None:
    """Memory ran out: go on with half the members at once; with one, the job has failed, and what would fit is said."""
    from hpo.footprint.memory import plain_members
    from hpo.footprint.sizes import Sizes

    full = plain_members(Sizes.of(spec, spec.info))
    now = min(record.lease.population or full, full)
    if now > 1:
        record.shrink(now // 2, f"{failure.message}; it goes on with {now // 2} instead of {now} members at once")
        return
    message = f"{failure.message}, with one member at a time"
    record.fail(failure.model_copy(update={"message": message, "suggested_spec": _leaner(spec)}))


def _leaner(spec: JobSpec) -> dict[str, Any] | None:
    """The spec of a job whose one member needs less memory: fewer states kept, else half the batch; None past that."""
    smaller: dict[str, Any] = spec.model_dump(mode="json")
    if spec.method.checkpointing != "sqrt":
        smaller["method"]["checkpointing"] = "sqrt"
    elif spec.inner.batch_size > 1:
        smaller["inner"]["batch_size"] = spec.inner.batch_size // 2
    else:
        return None
    return smaller


def _spec(database: Database, lease: Lease) -> JobSpec:
    with database.snapshot() as s:
        return held_jobs.job(s, lease).spec


def _measure(database: Database, lease: Lease, device: str) -> None:
    """Tell how fast this worker computes, for estimates of jobs to come; a tenth of a second."""
    import torch

    from hpo.devices import device_of
    from hpo.training.machine_speed import measure_speed

    torch.set_num_threads(lease.threads)
    speed = measure_speed(device=device_of(device))

    def write() -> None:
        with database.transaction() as s:
            workers.measured(s, lease.worker_id, speed)

    patiently(write, inf)


def _failure(error: Exception) -> Failure:
    """An error of the numerics as the wire shows it."""
    from hpo.errors import CertificateFailed, Diverged, HpoError, InvalidData, OutOfMemory, Refused

    assert isinstance(error, HpoError)
    match error:
        case Diverged():
            return Failure(type="diverged", message=error.message, hint=error.hint)
        case Refused():
            return Failure(type="refused", message=error.message, hint=error.hint)
        case InvalidData():
            return Failure(type="invalid_data", message=error.message, hint=error.hint)
        case CertificateFailed():
            return Failure(type="certificate_failed", message=error.message, hint=error.hint)
        case OutOfMemory():
            return Failure(type="out_of_memory", message=error.message, hint=error.hint or SMALLER)
        case _:
            return Failure(type="crashed", message=error.message, hint=error.hint)


def _transfer(result: TuneResult, lease: Lease) -> tuple[TransferPlan | None, Failure | None]:
    """The plan for the spec's target, or why there is none."""
    from datetime import UTC, datetime

    from hpo.errors import Refused
    from hpo.plans.transfer import make_plan

    target = result.spec.target
    if target is None:
        return None, None
    now = datetime.now(UTC)
    try:
        return make_plan(result, target, plan_id=identifiers.plan_id(), job_id=lease.job_id, created_at=now), None
    except Refused as error:
        return None, _failure(error)


def main(arguments: list[str] | None = None) -> int:
    """Run one job as the command line says; the exit status is one of ``workers.child.Exit``."""
    parser = argparse.ArgumentParser(prog="python -m workers.run_slice", description="Run one job under a lease.")
    parser.add_argument("--job", required=True)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--lease-left", type=float, required=True, help="seconds for which the lease is good now")
    parser.add_argument("--lease-renewed", type=float, required=True, help="seconds it is good after a renewal")
    parser.add_argument("--population", type=int, help="members to train at once, at most; left out: chosen automatically")
    parser.add_argument("--device", default="cpu", help="device to compute on: cpu, or cuda:0, the one that it sees")
    parser.add_argument("--dots", type=int, required=True, help="file descriptor of the pipe that shows inner steps")
    given = parser.parse_args(arguments)
    settings = read(StoreSettings)
    logs.configure(settings.log_format)
    logs.bind(job=given.job, epoch=given.epoch)
    pulse = Pulse(given.dots)
    signal.signal(signal.SIGTERM, pulse.ask_to_stop)
    signal.signal(signal.SIGUSR1, pulse.ask_to_let_go)
    hold_lifeline(given.lease_left, given.lease_renewed)
    try:
        run(settings, Lease(given.job, given.epoch, given.worker, given.threads, given.population), pulse, given.device)
    except LeaseLost as lost:
        logging.warning("%s; nothing written, this process ends", lost)
        return Exit.LEASE_LOST
    except StopRequested:
        return Exit.STOPPED
    return Exit.SETTLED


def _exit(status: int) -> NoReturn:
    """Leave without waiting for the lifeline's thread, which blocks in a read."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _exit(main())
