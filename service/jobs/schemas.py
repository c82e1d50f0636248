"""Wire shapes of the job routes: queries, and the envelopes of answers."""

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from windtunnel.tasks import TASKS
from windtunnel.types import JobEvent, JobState, MetricPoints, Problem, is_dataset
from windtunnel.types.base import Request, Response
from windtunnel.types.jobs import JobSort, SortOrder
from windtunnel.types.labels import Tag

SeriesName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]+$", max_length=200)]

SearchText = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class JobsQuery(Request):
    """Query that chooses jobs to list."""

    state: JobState | None = Field(None, description="Only jobs in this state.")
    task: str | None = Field(None, description="Only jobs of this task, or of this data set.")
    search: SearchText | None = Field(
        None, description="Only jobs with this in their name, task, tags or data set's name, or at the end of their id."
    )
    tag: Tag | None = Field(None, description="Only jobs with this tag.")
    sort: JobSort = Field("created", description="What to put them in order by: `loss` is the best one, `cost` is in runs.")
    order: SortOrder | None = Field(
        None, description="asc or desc; by default the newest first, else the least. A job without a value comes last."
    )
    limit: int = Field(50, ge=1, le=200, description="Jobs on one page.")
    cursor: str | None = Field(None, max_length=500, description="next_cursor of the page before.")

    @property
    def way(self) -> SortOrder:
        """Order in force."""
        return self.order or ("desc" if self.sort == "created" else "asc")

    @field_validator("task")
    @classmethod
    def _task_exists(cls, task: str | None) -> str | None:
        if task is not None and not is_dataset(task) and task not in TASKS:
            raise ValueError(f"no task {task!r}; allowed: {', '.join(sorted(TASKS))}")
        return task


class EventsQuery(Request):
    """Query that chooses events to send."""

    after: int = Field(
        0, ge=0, lt=2**31, description="Only events with a larger seq. A Last-Event-ID header goes before it."
    )
    limit: int = Field(1000, ge=1, le=1000, description="Most events in one JSON answer; a stream sends all.")


class MetricsQuery(Request):
    """Query that chooses metric series to read."""

    series: list[SeriesName] = Field([], max_length=200, description="Names of series; none: every series.")
    max_points: int = Field(1000, ge=2, le=100_000, description="A longer series is thinned to this many points.")


class EventList(Response):
    """Events in order of seq."""

    items: list[JobEvent]


class MetricList(Response):
    """Metric series."""

    items: list[MetricPoints]


class NotFinished(Problem):
    """A result was asked for that is not there; ``state`` says where the job stands."""

    state: JobState
