"""Reports of a running job: its outer steps, and the events of its log."""

from datetime import datetime
from typing import Any, Literal

from windtunnel.types.base import Response
from windtunnel.types.jobs import Failure
from windtunnel.types.results import LossEstimate

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
"""Arm of the search that proposed the points of an outer step."""


class TriedPoints(Response):
    """Points that an outer step ran in full for the first time, as columns of equal length, in order."""

    hyperparameters: dict[str, list[float]]
    losses: list[float | None]
    """Validation loss of each after the step, nats, corrected for the seeds that it was run with; None: it diverged."""


class OuterStep(Response):
    """One outer step: the loss at the point where it began, the gradient there, and the move.

    With estimator ``auto`` loss and hyperparameters are those of the incumbent, the best point known after the step; the
    gradient is of the point where the step began.

    Step 0 is the start (the scout's sweep, if the job has a scout); it has no gradient.

    With a best response (arm ``response``) loss and hyperparameters are those of the networks in training at the end of the
    step, and the gradient is the mean of the step's validation gradients through the response.
    """

    outer_step: int
    outer_steps: int | None
    """Number of outer steps of the whole job; None where a budget ends the job, not a number of steps."""
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
    """Largest coordinate of the move, in unconstrained units; 0 where the race kept the present point."""
    moved: bool
    rolled_back: bool
    sweep: dict[str, list[float]] | None = None
    """Step 0 with a scout: ``learning_rate`` and ``loss`` of the sweep (a diverged run is left out)."""
    arm: Arm | None = None
    """Arm of the search that had this step; None in rows that an older version stored."""
    reason: str | None = None
    """``auto``: reason why the arm had the step. Several starts: their origin (step 0), and why some were dropped."""
    gain: float | None = None
    """``auto``: by how much the loss of the incumbent fell, over the seeds that it and its successor were run with."""
    candidates: int | None = None
    """``auto``: points that the arm proposed."""
    tried: TriedPoints | None = None
    """``auto``: the points themselves; None from estimators that follow one point, and in rows of older versions."""
    ended_early: int | None = None
    """Early stopping: candidates ended early, because they could not win or diverged; None without early stopping."""
    saved_steps: int | None = None
    """Early stopping: inner steps that the ended candidates did not have to run."""
    starts: int | None = None
    """Several starts: number that is left after the step. Loss, hyperparameters, gradient and move are the leader's."""
    leader: int | None = None
    """Several starts: number of the one that leads; 0 is the start of a job with one start."""
    spent: dict[Arm, float] | None = None
    """``auto``: run-equivalents of each arm so far, this step included."""
    scales: dict[str, float] | None = None
    """Best response: standard deviation of the perturbations of each regulariser, in unconstrained units."""
    run_equivalents: float
    """Cost of the job up to and including this step, in plain runs."""


class Queued(Response):
    """The job was submitted."""


class Started(Response):
    """A worker took the job."""

    epoch: int
    """Number of the claim, from 1."""
    worker: str
    resumed_from: int | None = None
    """Outer step of the checkpoint from which the job goes on; None at the beginning."""


class Finishing(Response):
    """All outer steps are done; the last candidates are judged on fresh seeds."""

    epoch: int


class Requeued(Response):
    """The job waits for a worker again."""

    epoch: int
    reason: str


class Crashed(Response):
    """An attempt ended badly; the job goes on."""

    epoch: int
    failure: Failure


class CheckpointRejected(Response):
    """A checkpoint was damaged or missing; an older one is used."""

    epoch: int
    outer_step: int
    reason: str
    falls_back_to: int | None = None
    """Outer step of the older checkpoint; None where there is none, and the job begins anew."""


class PopulationReduced(Response):
    """Memory ran out; the job goes on with fewer members at once."""

    epoch: int
    population: int
    reason: str


class CancelRequested(Response):
    """A user asked to cancel the job."""


class PauseRequested(Response):
    """A user asked to pause the job."""


class Paused(Response):
    """The job waits until it is resumed."""

    epoch: int | None = None
    """Number of the claim that the pause ended; None where no worker had the job."""


class Resumed(Response):
    """The job may go on."""


class PlanCreated(Response):
    """The plan for the spec's target was made."""

    plan_id: str


class PlanRefused(Failure):
    """The plan for the spec's target was refused; the job succeeds all the same."""


class Succeeded(Response):
    """The job has ended with a result; here are the losses of its best point."""

    validation: LossEstimate
    test: LossEstimate


class Failed(Failure):
    """The job has failed, and why."""


class Cancelled(Response):
    """The job has ended because it was cancelled."""


class OtherEvent(Response):
    """An event of a type that this version does not know."""

    type: str
    data: dict[str, Any]


EventDetails = (
    Queued
    | Started
    | OuterStep
    | Finishing
    | Requeued
    | Crashed
    | CheckpointRejected
    | PopulationReduced
    | CancelRequested
    | PauseRequested
    | Paused
    | Resumed
    | PlanCreated
    | PlanRefused
    | Succeeded
    | Failed
    | Cancelled
    | OtherEvent
)
EVENT_DETAILS: dict[str, type[EventDetails]] = {
    "queued": Queued,
    "started": Started,
    "outer_step": OuterStep,
    "finishing": Finishing,
    "requeued": Requeued,
    "crashed": Crashed,
    "checkpoint_rejected": CheckpointRejected,
    "population_reduced": PopulationReduced,
    "cancel_requested": CancelRequested,
    "pause_requested": PauseRequested,
    "paused": Paused,
    "resumed": Resumed,
    "plan_created": PlanCreated,
    "plan_refused": PlanRefused,
    "succeeded": Succeeded,
    "failed": Failed,
    "cancelled": Cancelled,
}
"""Type of an event -> model of its data."""


class JobEvent(Response):
    """One entry of a job's log. ``seq`` is dense: 1, 2, 3, ... for each job."""

    job_id: str
    seq: int
    type: EventType | str
    """One of ``EventType``; a newer server may have others."""
    data: dict[str, Any]
    at: datetime

    @property
    def details(self) -> EventDetails:
        """``data`` as the model of its type, to ``match``; ``OtherEvent`` where this version does not know the type.

        Raises:
            pydantic.ValidationError: the data are not those of the type.
        """
        model = EVENT_DETAILS.get(self.type)
        return OtherEvent(type=self.type, data=self.data) if model is None else model.model_validate(self.data)
