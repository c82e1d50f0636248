"""The progress of a job: a bar in a terminal or a notebook, plain lines in a log file."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from windtunnel.types import Job as WireJob
from windtunnel.types import OuterStep, Progress
from windtunnel.types.jobs import out_of
from windtunnel.types.verdicts import estimate

PHASES = {
    "waiting": "waiting for a worker",
    "scout": "scouting learning rates",
    "tune": "tuning",
    "finish": "judging on fresh seeds",
    "check": "checking the transfer",
    "done": "done",
}
EVERY = 30.0
"""Seconds between two lines of a log in which nothing else happens."""


class JobProgress:
    """The phase of a job, the share done, loss, cost and time: as a bar, or as lines where nobody can see a bar move.

    A line is written at each new phase and outer step, and every half a minute in between.

    Args:
        shown: whether to show it; None: only if standard error is a terminal or a notebook.
        console: console to draw or write on; None: standard error.
        clock: seconds that pass.
    """

    def __init__(
        self, shown: bool | None = None, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(stderr=True)
        moves = self._console.is_terminal or self._console.is_jupyter
        self._lines = bool(shown) and not moves
        self._clock = clock
        self._begun = clock()
        self._next_line, self._last_key, self._last_line = 0.0, "", ""
        self._loss = ""
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("[dim]{task.fields[cost]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=self._lines or not (moves if shown is None else shown),
        )
        self._task = self.bar.add_task(PHASES["waiting"], total=1.0, loss="", cost="")

    def show(self, job: WireJob) -> None:
        """Show where the job stands now."""
        if job.best is not None:
            self._loss = f"best loss {job.best_loss} {job.verdict}"
        elif job.current is not None:
            self._loss = f"loss {job.current.words}"
        ended = job.state if job.state in ("failed", "cancelled") else ""
        self._show(job.progress, ended or ("cancelling" if job.cancel_requested else ""))

    def report(self, progress: Progress) -> None:
        """Show how far a study in this process is."""
        if progress.phase != "done" or not self._lines:  # the last line is the verdict's
            self._show(progress, "")

    def point(self, step: OuterStep) -> None:
        """Show the loss of an outer step of a study in this process, from its next report on."""
        if step.loss is not None:
            self._loss = f"loss {estimate(step.loss, step.stderr)} on the search's seeds"

    def judged(self, verdict: str) -> None:
        """Show the end of a study in this process, with its verdict."""
        self._loss = f"best loss {verdict}"
        self.bar.update(self._task, loss=self._loss)
        if self._lines:
            self._write("done")

    def _show(self, progress: Progress, state: str) -> None:
        what = state or PHASES[progress.phase]
        if progress.phase == "tune" and not state:
            what += f" {out_of(progress.outer_step, progress.outer_steps)}"
        if not self._lines:
            cost = f"{progress.run_equivalents:.1f} runs"
            self.bar.update(self._task, completed=progress.fraction, description=what, loss=self._loss, cost=cost)
            return
        now = self._clock()
        if what != self._last_key or now >= self._next_line:
            self._last_key, self._next_line = what, now + EVERY
            self._write(f"{what}, {progress.fraction:.0%}, {progress.run_equivalents:.1f} runs")

    def _write(self, text: str) -> None:
        line = f"{text}, {self._loss}" if self._loss else text
        if line != self._last_line:
            self._last_line = line
            self._console.file.write(f"windtunnel {self._clock() - self._begun:.0f} s: {line}\n")
            self._console.file.flush()

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()
