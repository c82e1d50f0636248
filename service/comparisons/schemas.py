"""Wire shapes of a comparison: its query."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from store.identifiers import JOB_ID
from windtunnel.types.base import Request
from windtunnel.types.comparisons import MOST_COMPARED


def _once_each(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))


JobIds = Annotated[list[Annotated[str, StringConstraints(pattern=f"^{JOB_ID.pattern}$")]], AfterValidator(_once_each)]


class ComparisonQuery(Request):
    """Query that chooses the jobs to compare."""

    job: JobIds = Field(min_length=1, max_length=MOST_COMPARED, description="Ids of the jobs, in the order to show them.")
