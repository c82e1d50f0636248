"""The progress bar of a job, in a terminal or a notebook."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from windtunnel.types import Job as WireJob
from windtunnel.types.jobs import out_of

PHASES = {
    "waiting": "waiting for a worker",
    "scout": "scouting learning rates",
    "tune": "tuning",
    "finish": "judging on fresh seeds",
    "check": "checking the transfer",
    "done": "done",
}


class JobProgress:
    """A progress bar with phase, share done, loss, cost and time.

    Args:
        shown: whether to show it; None: only if standard error is a terminal or a notebook.
        console: console to draw on; None: standard error.
    """

    def __init__(self, shown: bool | None = None, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        can_show = self._console.is_terminal or self._console.is_jupyter
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("[dim]{task.fields[cost]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not (can_show if shown is None else shown),
        )
        self._task = self.bar.add_task(PHASES["waiting"], total=1.0, loss="", cost="")

    def show(self, job: WireJob) -> None:
        """Update the bar to the job's present state."""
        progress = job.progress
        description = PHASES[progress.phase]
        if progress.phase == "tune":
            description += f" {out_of(progress.outer_step, progress.outer_steps)}"
        if job.state in ("failed", "cancelled"):
            description = job.state
        elif job.cancel_requested:
            description = "cancelling"
        point = job.best or job.current
        self.bar.update(
            self._task,
            completed=progress.fraction,
            description=description,
            loss="" if point is None else f"loss {standard_error(point.loss, point.stderr)}",
            cost=f"{progress.run_equivalents:.1f} runs",
        )

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()


def standard_error(mean: float, stderr: float) -> str:
    """A mean and its standard error as text: ``0.1234 ± 0.0021``."""
    return f"{mean:.4f} ± {stderr:.4f}"
