"""Labels that people put on a job after it was submitted: its name, tags and notes."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from windtunnel.types.base import Request

MOST_TAGS = 20
"""Tags of a job, at most."""
LONGEST_NOTES = 10_000
"""Characters of a job's notes, at most."""

Tag = Annotated[str, StringConstraints(pattern=r"^[^\s,\x00-\x1f\x7f]{1,40}$", to_lower=True)]
"""One tag: 1 to 40 characters without spaces or commas, kept in lower case."""


def _once_each(tags: list[str]) -> list[str]:
    return sorted(set(tags))


class JobLabels(Request):
    """Labels of a job to change; a field that is left out or null stays as it is. The spec keeps the name it came with."""

    name: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    tags: Annotated[list[Tag], AfterValidator(_once_each)] | None = Field(
        None, max_length=MOST_TAGS, description="All of the job's tags: lower case, without spaces or commas."
    )
    notes: Annotated[str, StringConstraints(max_length=LONGEST_NOTES, pattern=r"^[^\x00]*$")] | None = Field(
        None, description="Plain text."
    )
