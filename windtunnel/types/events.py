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
    "cancel_requested",
    "plan_created",
    "plan_refused",
    "succeeded",
    "failed",
    "cancelled",
]


class OuterStep(Response):
    """One outer step: the loss at the point it began from, the gradient there, and where it went.

    Step 0 is the start (the scout's sweep, where asked for); it has no gradient.
    """

    outer_step: int
    outer_steps: int
    loss: float | None
    """Mean validation loss over seeds, nats, at ``hyperparameters``; None where every run diverged."""
    stderr: float
    seeds: int
    dropped_members: int
    """Members of this step that diverged and were left out."""
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
    run_equivalents: float
    """Cost of the job up to and including this step, in plain runs."""


class JobEvent(Response):
    """One entry of a job's log. ``seq`` is dense: 1, 2, 3, ... for each job."""

    job_id: str
    seq: int
    type: EventType
    data: dict[str, Any]
    at: datetime
