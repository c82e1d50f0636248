"""The cost account of a job: gradient evaluations spent, and how far the present phase is."""

import time
from collections.abc import Callable
from typing import Literal

from windtunnel.types import Progress

Phase = Literal["waiting", "scout", "tune", "finish", "check", "done"]
OnProgress = Callable[[Progress], None]


class Account:
    """Counts work and reports it. Everything it counts survives a checkpoint.

    Args:
        outer_steps: moves of the whole job.
        run: gradient evaluations of one plain run (the inner steps).
        on_progress: called after every inner step; may raise to stop the job.
    """

    def __init__(self, outer_steps: int, run: int, on_progress: OnProgress) -> None:
        self.outer_steps, self.run, self.on_progress = outer_steps, run, on_progress
        self.spent = 0.0
        self.wall_seconds = 0.0
        self._phase: Phase = "waiting"
        self._outer_step = 0
        self._done = 0
        self._expected = 1.0
        self._since = time.monotonic()

    @property
    def run_equivalents(self) -> float:
        """Cost so far, in plain runs."""
        return self.spent / self.run

    def spend(self, gradient_evaluations: float) -> None:
        """Book finished work."""
        self.spent += gradient_evaluations

    def lap(self) -> float:
        """Wall seconds of the job so far, over all of its attempts."""
        now = time.monotonic()
        self.wall_seconds += now - self._since
        self._since = now
        return self.wall_seconds

    def enter(self, phase: Phase, outer_step: int, expected: float) -> None:
        """Begin a phase that will take about so many member-steps."""
        self._phase, self._outer_step, self._done, self._expected = phase, outer_step, 0, max(expected, 1.0)
        self.report()

    def step(self, member_steps: int) -> None:
        """One inner step of a population is over."""
        self._done += member_steps
        self.report()

    def report(self) -> None:
        """Tell the listener."""
        within = min(self._done / self._expected, 1.0)
        stages = self.outer_steps + 3
        begun = {"waiting": 0, "scout": 0, "tune": self._outer_step, "finish": stages - 2, "check": stages - 1}
        fraction = 1.0 if self._phase == "done" else (begun[self._phase] + within) / stages
        self.on_progress(
            Progress(
                outer_step=self._outer_step,
                outer_steps=self.outer_steps,
                inner_steps=self._done,
                phase=self._phase,
                fraction=fraction,
                run_equivalents=self.run_equivalents,
            )
        )
