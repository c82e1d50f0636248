"""A job as the API shows it."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from windtunnel.types.base import Response
from windtunnel.types.estimates import MachineSpeed
from windtunnel.types.results import PointEvaluation
from windtunnel.types.spec import JobSpec
from windtunnel.types.verdicts import ConstantAnswer, Gain, estimate

JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
JobSort = Literal["created", "name", "task", "state", "loss", "cost"]
"""Property by which a list of jobs is put in order; ``loss`` is the best one's, ``cost`` is in run-equivalents."""
SortOrder = Literal["asc", "desc"]
TERMINAL_STATES: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})
FailureType = Literal[
    "diverged", "out_of_memory", "crashed", "poison", "refused", "invalid_data", "certificate_failed", "quota"
]


class Failure(Response):
    """Reason why a job failed, and what to try."""

    type: FailureType
    message: str
    hint: str | None = None
    suggested_spec: dict[str, Any] | None = None


class Progress(Response):
    """Progress of a job: outer step, phase, share done, cost so far."""

    outer_step: int
    outer_steps: int | None
    """Number of outer steps of the whole job; None where a budget ends the job, not a number of steps."""
    inner_steps: int
    """Inner steps of the current outer step so far, over all of its training runs."""
    phase: Literal["waiting", "scout", "tune", "finish", "check", "done"]
    fraction: float
    """Share of the whole job that is done, in [0, 1]."""
    run_equivalents: float


def out_of(step: int, steps: int | None, link: str = "/") -> str:
    """Progress as text: ``3/12``; ``3`` alone where a budget, not a number of steps, ends the search."""
    return str(step) if steps is None else f"{step}{link}{steps}"


class CurrentPoint(Response):
    """A point of the search space and its validation loss."""

    outer_step: int
    loss: float
    stderr: float
    hyperparameters: dict[str, float]

    @property
    def words(self) -> str:
        """Loss and standard error as text."""
        return estimate(self.loss, self.stderr)


class BestPoint(CurrentPoint):
    """The best point of a job: while it runs by the search's own seeds, once it has succeeded by fresh ones."""

    judged_on: Literal["search", "fresh"] = "search"
    """Seeds of the loss. search: those of its outer step, which luck flatters; fresh: seeds that the search never saw."""
    gain: Gain | None = None
    """Fall of the loss since the start of the search, on fresh seeds; None before they have judged."""
    constant: ConstantAnswer | None = None
    """A constant answer, which a model that has learned is better than; None before fresh seeds have judged."""

    @classmethod
    def judged(cls, best: PointEvaluation, gain: Gain, outer_step: int, constant: ConstantAnswer | None = None) -> Self:
        """The best point of a result, on fresh seeds; ``outer_step`` is the last of the search."""
        return cls(
            outer_step=outer_step,
            loss=best.validation.mean,
            stderr=best.validation.stderr,
            hyperparameters=best.hyperparameters,
            judged_on="fresh",
            gain=gain,
            constant=constant,
        )


class Attempt(Response):
    """One claim of the job by a worker."""

    epoch: int
    worker: str
    rung_at: datetime | None
    """Time of the call for a worker that this worker answered; None in rows of an older version."""
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    reason: str | None
    """Reason of the end, where the outcome does not say it."""


class Job(Response):
    """A job: its request, its state and its best point so far."""

    id: str
    name: str
    state: JobState
    spec: JobSpec
    task_title: str = ""
    """Name of the task as people call it: of a data set the name that its owner gave it. Empty from older servers."""
    progress: Progress
    current: CurrentPoint | None
    best: BestPoint | None
    failure: Failure | None
    cancel_requested: bool
    pause_requested: bool = False
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    attempts: int
    tags: tuple[str, ...] = ()
    """Tags that its owner gave it, in order of the alphabet."""
    notes: str = ""
    """Notes of its owner."""
    plans: list[str]
    """Ids of the transfer plans made from this job, oldest first."""

    @property
    def best_loss(self) -> str:
        """The best loss as text; a dash before the first outer step."""
        return "–" if self.best is None else self.best.words

    @property
    def verdict(self) -> str:
        """Words on the best loss: its seeds, on fresh ones the gain, and whether it is no better than a constant answer;
        empty before the first outer step."""
        if self.best is None:
            return ""
        if self.best.judged_on == "search":
            return f"{'' if self.state in TERMINAL_STATES else 'so far, '}on the search's seeds"
        gain, constant = self.best.gain, self.best.constant
        unlearned = "" if constant is None or self.best.loss is None else constant.words_on(self.best.loss)
        if gain is None:
            return f"on fresh seeds{unlearned}"
        than = " than at the start" if gain.beyond_noise and gain.known else ""
        return f"on fresh seeds, {gain.words}{than}{unlearned}"


class JobPage(Response):
    """One page of jobs, newest first."""

    items: list[Job]
    next_cursor: str | None
    counts: dict[JobState, int] = Field(default_factory=dict)
    """State -> number of jobs in it, of those that the query asks for in any state; states without any are left out."""


class MetricPoints(Response):
    """One metric series over outer steps."""

    series: str
    steps: list[int]
    values: list[float]


class WorkerInfo(Response):
    """A worker as last seen."""

    id: str
    host: str
    device: str
    threads: int
    started_at: datetime
    seen_at: datetime
    job_id: str | None
    speed: MachineSpeed | None = None
    """Speed that its last job process measured; None before its first job."""
    steps_per_second: float | None = None
    """Inner steps a second of the job that it runs, summed over members; None where it runs no job."""
    draining: bool = False
    """Whether it was asked to release its job and to take no other."""
