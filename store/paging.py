"""Pages of jobs: the condition that a search puts on them, and the cursor that says where the next page begins."""

import base64
import binascii

from sqlalchemy import ColumnElement, or_, select

from store import identifiers
from store.errors import InvalidCursor
from store.tables import datasets, jobs

SHORTEST_ID = 4
"""Characters from which on a search is also one for the end of an id: fewer would meet too many by chance."""


def found(search: str, owner: str) -> ColumnElement[bool]:
    """Condition on a job of the owner: a piece of its name, task or data set's name, or the end of its id, in either case.

    No character of the search means anything but itself.
    """
    named = datasets.c.facts["name"].as_string().icontains(search, autoescape=True)
    of_data = select(datasets.c.id).where(datasets.c.owner == owner, named)
    matches = [jobs.c.name.icontains(search, autoescape=True), jobs.c.task.icontains(search, autoescape=True)]
    if len(search) >= SHORTEST_ID:
        matches.append(jobs.c.id.iendswith(search, autoescape=True))
    return or_(*matches, jobs.c.task.in_(of_data))


def encode_cursor(job_id: str) -> str:
    """Cursor of the page that begins after this job."""
    return base64.urlsafe_b64encode(job_id.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Id of the job after which the page begins. Raises InvalidCursor."""
    try:
        job_id = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor(cursor) from error
    if not identifiers.JOB_ID.fullmatch(job_id) or encode_cursor(job_id) != cursor:
        raise InvalidCursor(cursor)
    return job_id
