"""The cost account of a job: gradient evaluations spent, and progress of the present phase."""

import math
import time
from collections.abc import Callable
from typing import Literal

from windtunnel.types import Progress

Phase = Literal["waiting", "scout", "tune", "finish", "check", "done"]
OnProgress = Callable[[Progress], None]


class Account:
    """Counts work and reports it. Everything it counts survives a checkpoint.

    Args:
        outer_steps: moves of the whole job; None: the budget alone ends the job.
        run: gradient evaluations of one plain run (the inner steps).
        on_progress: called after every inner step; may raise to stop the job.
        budget: run-equivalents that scout and tuning may spend; None: the number of outer steps ends the job.
    """

    def __init__(self, outer_steps: int | None, run: int, on_progress: OnProgress, budget: float | None = None) -> None:
        self.outer_steps, self.run, self.on_progress, self.budget = outer_steps, run, on_progress, budget
        self.spent = 0.0
        self.wall_seconds = 0.0
        self._phase: Phase = "waiting"
        self._outer_step = 0
        self._done = 0
        self._expected = 1.0
        self._since = time.monotonic()
        self._furthest = 0.0

    @property
    def run_equivalents(self) -> float:
        """Cost so far, in plain runs."""
        return self.spent / self.run

    @property
    def left(self) -> float:
        """Run-equivalents that the search may still spend; infinite without a budget."""
        return math.inf if self.budget is None else self.budget - self.run_equivalents

    def spend(self, gradient_evaluations: float) -> None:
        """Adds finished work to the cost."""
        self.spent += gradient_evaluations

    def lap(self) -> float:
        """Wall seconds of the job so far, over all of its attempts."""
        now = time.monotonic()
        self.wall_seconds += now - self._since
        self._since = now
        return self.wall_seconds

    def enter(self, phase: Phase, outer_step: int, expected: float) -> None:
        """Begins a phase that takes about ``expected`` member-steps."""
        self._phase, self._outer_step, self._done, self._expected = phase, outer_step, 0, max(expected, 1.0)
        self.report()

    def step(self, member_steps: int) -> None:
        """Counts one inner step of a population, ``member_steps`` in all, and reports."""
        self._done += member_steps
        self.report()

    def report(self) -> None:
        """Calls ``on_progress`` with the present progress."""
        # Booked cost and steps under way differ in their units, so the fraction could fall; the reported one never does.
        self._furthest = max(self._furthest, self._fraction())
        self.on_progress(
            Progress(
                outer_step=self._outer_step,
                outer_steps=self.outer_steps,
                inner_steps=self._done,
                phase=self._phase,
                fraction=self._furthest,
                run_equivalents=self.run_equivalents,
            )
        )

    def _fraction(self) -> float:
        """Share of the whole job that is done, 0 to 1: the search by steps or budget, then the judgement and the checks."""
        within = min(self._done / self._expected, 1.0)
        if self._phase in ("waiting", "done"):
            return float(self._phase == "done")
        if self._phase in ("finish", "check"):
            ends = (self._searched, (1 + self._searched) / 2, 1.0)
            low, high = ends[:2] if self._phase == "finish" else ends[1:]
            return low + within * (high - low)
        if self.budget is None:
            begun = 0 if self._phase == "scout" else self._outer_step
            return self._searched * (begun + within) / (self._moves + 1)
        under_way = within * self._expected / self.run
        return self._searched * min((self.run_equivalents + under_way) / self.budget, 1.0)

    @property
    def _searched(self) -> float:
        """Value of the fraction at the end of the search."""
        return 0.9 if self.budget is not None else (self._moves + 1) / (self._moves + 3)

    @property
    def _moves(self) -> int:
        assert self.outer_steps is not None, "a job without a budget has a number of steps"
        return self.outer_steps
