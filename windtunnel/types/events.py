"""What a job reports while it runs: outer steps, and the events of its log."""

from datetime import datetime
from typing import Any, Literal

from windtunnel.types.base import Response

EventType = Literal[
    "queued",
    "started",
    "outer_step",
    "finishing",
    "requeued",
    "crashed",
    "checkpoint_rejected",
    "population_reduced",
    "cancel_requested",
    "pause_requested",
    "paused",
    "resumed",
    "plan_created",
    "plan_refused",
    "succeeded",
    "failed",
    "cancelled",
]

Arm = Literal["scout", "gradient", "sampler", "response"]
"""Who proposed what an outer step judged."""


class OuterStep(Response):
    """One outer step: the loss at the point it began from, the gradient there, and where it went.

    With estimator ``auto`` loss and hyperparameters are those of the incumbent, the best point known after the step; the
    gradient is of the point where the step began.

    Step 0 is the start (the scout's sweep, where asked for); it has no gradient.

    With a best response (arm ``response``) loss and hyperparameters are those of the networks in training at the end of the
    step, and the gradient is the mean of the step's validation gradients through the response.
    """

    outer_step: int
    outer_steps: int | None
    """Of the whole job; None where a budget ends it, not a number of steps."""
    loss: float | None
    """Mean validation loss over seeds, nats, at ``hyperparameters``; None where every run diverged."""
    stderr: float
    seeds: int
    dropped_members: int
    """Members of this step that diverged and were left out, over all starts."""
    hyperparameters: dict[str, float]
    gradient: dict[str, float]
    """Hypergradient with respect to the unconstrained value (log, logit) of each hyperparameter; empty at step 0."""
    gradient_norm: float | None
    bounded_share: float | None
    mean_scale: float | None
    step_length: float
    """Largest coordinate of the move taken, in unconstrained units; 0 where the race kept the present point."""
    moved: bool
    rolled_back: bool
    sweep: dict[str, list[float]] | None = None
    """Step 0 with a scout: ``learning_rate`` and ``loss`` of the sweep (a diverged run is left out)."""
    arm: Arm | None = None
    """Which arm of the search this step was; None in rows that an older version stored."""
    reason: str | None = None
    """``auto``: why the step went to that arm. Several starts: where they came from (step 0), and why some were dropped."""
    gain: float | None = None
    """``auto``: by how much the loss of the incumbent fell, over the seeds that it and its successor were run with."""
    candidates: int | None = None
    """``auto``: points that the arm proposed."""
    ended_early: int | None = None
    """Early stopping: candidates that were not run to their end, for they could not win or diverged; None without it."""
    saved_steps: int | None = None
    """Early stopping: inner steps that they still had before them."""
    starts: int | None = None
    """Several starts: how many live after the step. Loss, hyperparameters, gradient and move are the leader's."""
    leader: int | None = None
    """Several starts: which of them leads, by its number; 0 is where a job with one start begins."""
    spent: dict[Arm, float] | None = None
    """``auto``: run-equivalents of each arm so far, this step included."""
    scales: dict[str, float] | None = None
    """Best response: standard deviation of the perturbations of each regulariser, in unconstrained units."""
    run_equivalents: float
    """Cost of the job up to and including this step, in plain runs."""


class JobEvent(Response):
    """One entry of a job's log. ``seq`` is dense: 1, 2, 3, ... for each job."""

    job_id: str
    seq: int
    type: EventType
    data: dict[str, Any]
    at: datetime
