"""Writes of a job process, all under its lease: outer steps with their checkpoints, progress, the end."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from pathlib import Path
from typing import TypeVar

from sqlalchemy.orm import Session

from store import checkpoints as pointers
from store import held_jobs, leases, metrics, workers
from store.checkpoints import Checkpoint
from store.database import Database
from store.errors import DATABASE_ERRORS
from store.leases import Lease
from windtunnel.types import BestPoint, Failure, OuterStep, Progress, TransferPlan, TuneResult
from workers import checkpoints as files
from workers.patience import patiently

log = logging.getLogger(__name__)

Value = TypeVar("Value")

PROGRESS_INTERVAL = 1.0
"""Least seconds between two progress reports; what comes in between is not written."""


class Record:
    """The database and the checkpoint folder of one lease of a job.

    Database errors are tried again for as long as it takes: the supervisor stops this process when the lease runs out.
    Every method that writes raises LeaseLost when the job is no longer ours.

    Args:
        database: where the job is.
        lease: the right to run it.
        data_dir: root of the checkpoint files.
        spec_sha256: what checkpoints must have been made from.
    """

    def __init__(self, database: Database, lease: Lease, data_dir: Path, spec_sha256: str) -> None:
        self.database, self.lease, self.data_dir, self.spec_sha256 = database, lease, data_dir, spec_sha256
        with database.snapshot() as s:
            job = held_jobs.job(s, lease)
            reported = held_jobs.last_outer_step(s, lease)
        self.done = job.progress
        self.best = job.best
        self._reported = -1 if reported is None else reported
        self._next_report, self._reported_at, self._steps = 0.0, time.monotonic(), 0

    def resume(self, load: Callable[[dict[str, bytes]], None], refusal: type[Exception]) -> None:
        """Load the newest checkpoint that is whole, if any; each one passed over leaves a ``checkpoint_rejected`` event.

        Args:
            load: takes the files; raises ``refusal`` where it cannot use them.
            refusal: the error that says so.
        """
        found = self._write(partial(pointers.newest_first, job_id=self.lease.job_id))
        files.sweep(self.data_dir, self.lease, {checkpoint.path for checkpoint in found})
        for checkpoint in found:
            try:
                load(files.read(self.data_dir, checkpoint, self.lease.threads, self.spec_sha256))
            except (files.BadCheckpoint, refusal) as error:
                log.warning("job %s: checkpoint %s rejected: %s", self.lease.job_id, checkpoint.path, error)
                self._write(partial(pointers.reject, lease=self.lease, checkpoint=checkpoint, reason=str(error)))
            else:
                return

    def outer_step(self, step: OuterStep, state: Mapping[str, bytes]) -> None:
        """Write one outer step: its files, then in one transaction its event, metrics, progress and checkpoint pointer."""
        written = files.write(self.data_dir, self.lease, step.outer_step, state, self.spec_sha256)
        done = self.done.model_copy(update={"outer_step": step.outer_step, "run_equivalents": step.run_equivalents})
        point, best = _point(step), self.best
        if point is not None and (best is None or point.loss < best.loss):
            best = point

        def write(s: Session) -> list[Checkpoint]:
            leases.progress(s, self.lease, done, point, best)
            if pointers.recorded(s, self.lease, step.outer_step):
                return []  # an earlier try was committed, only its confirmation got lost
            if step.outer_step > self._reported:  # else it was told before the checkpoint we fell back from
                held_jobs.append(s, self.lease, "outer_step", step.model_dump(mode="json"))
            metrics.record(s, self.lease, step.outer_step, series(step))
            return pointers.record(
                s,
                self.lease,
                outer_step=step.outer_step,
                path=written.path,
                manifest_sha256=written.manifest_sha256,
                loss=step.loss,
            )

        forgotten = self._write(write)
        self.best = best
        for checkpoint in forgotten:
            files.remove(self.data_dir, checkpoint.path)

    def progress(self, done: Progress) -> bool:
        """Report inner steps, at most once a second; True where the job is asked to stop."""
        before = self.done.inner_steps
        self._steps += done.inner_steps - (before if done.inner_steps >= before else 0)  # each phase counts from 0
        self.done = done
        now = time.monotonic()
        if now < self._next_report:
            return False
        rate = self._steps / (now - self._reported_at)
        self._next_report, self._reported_at, self._steps = now + PROGRESS_INTERVAL, now, 0
        try:
            with self.database.transaction() as s:
                stop = leases.progress(s, self.lease, done).stop
                workers.computes(s, self.lease.worker_id, rate)
                return stop
        except DATABASE_ERRORS as error:
            log.warning("job %s: progress not written, the next report follows: %s", self.lease.job_id, error)
            return False

    def finishing(self) -> None:
        """Write that all outer steps are done and the last judgement begins."""

        data = {"epoch": self.lease.epoch}
        self._write(partial(held_jobs.append, lease=self.lease, type="finishing", data=data))

    def succeed(self, result: TuneResult, plan: TransferPlan | None, refusal: Failure | None) -> None:
        """Write the end in one transaction: result, final progress, and the plan or why there is none."""

        def write(s: Session) -> None:
            leases.progress(s, self.lease, self.done)
            if plan is not None:
                held_jobs.save_plan(s, self.lease, plan)
            if refusal is not None:
                held_jobs.append(s, self.lease, "plan_refused", refusal.model_dump(mode="json"))
            leases.succeed(s, self.lease, result)

        self._write(write)

    def fail(self, failure: Failure) -> None:
        """Write the end, for a typed reason that another try would only repeat."""
        self._write(partial(leases.fail, lease=self.lease, failure=failure))

    def crash(self, failure: Failure) -> None:
        """Write an unforeseen error; another try may succeed."""
        self._write(partial(leases.crashed, lease=self.lease, failure=failure))

    def shrink(self, population: int, reason: str) -> None:
        """Write that memory ran out, and release the job, which goes on with at most ``population`` members at once."""
        self._write(partial(leases.shrink, lease=self.lease, population=population, reason=reason))

    def _write(self, action: Callable[[Session], Value]) -> Value:
        def transaction() -> Value:
            with self.database.transaction() as s:
                return action(s)

        return patiently(transaction, inf)


def series(step: OuterStep) -> dict[str, float]:
    """The metrics of an outer step by series name; what it does not have is left out."""
    named: dict[str, float | None] = {
        "loss": step.loss,
        "loss_stderr": step.stderr,
        "gradient_norm": step.gradient_norm,
        "bounded_share": step.bounded_share,
        "mean_scale": step.mean_scale,
        "step_length": step.step_length,
        "run_equivalents": step.run_equivalents,
        **{f"hyperparameter.{label}": value for label, value in step.hyperparameters.items()},
        **{f"gradient.{label}": value for label, value in step.gradient.items()},
    }
    return {name: value for name, value in named.items() if value is not None}


def _point(step: OuterStep) -> BestPoint | None:
    """The point of an outer step; None where every run at it diverged."""
    if step.loss is None:
        return None
    return BestPoint(outer_step=step.outer_step, loss=step.loss, stderr=step.stderr, hyperparameters=step.hyperparameters)
