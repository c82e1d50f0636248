"""Pages of jobs: the condition that a search puts on them, and the cursor that says where the next page begins."""

import base64
import binascii
import json
import math
from typing import Any

from sqlalchemy import ColumnElement, Float, and_, func, literal, or_, select

from store import identifiers
from store.errors import InvalidCursor
from store.tables import datasets, jobs
from windtunnel.types.jobs import JobSort, SortOrder

SHORTEST_ID = 4
"""Characters from which on a search is also one for the end of an id: fewer would meet too many by chance."""


NUMBERS: frozenset[JobSort] = frozenset({"loss", "cost"})
"""Orders by a number; the others are by text."""


def found(search: str, owner: str) -> ColumnElement[bool]:
    """Condition on a job of the owner: a piece of its name, task, tags or data set's name, or the end of its id.

    Letters match in either case, and no character of the search means anything but itself.
    """
    named = datasets.c.facts["name"].as_string().icontains(search, autoescape=True)
    of_data = select(datasets.c.id).where(datasets.c.owner == owner, named)
    matches = [column.icontains(search, autoescape=True) for column in (jobs.c.name, jobs.c.task, jobs.c.tags)]
    if len(search) >= SHORTEST_ID:
        matches.append(jobs.c.id.iendswith(search, autoescape=True))
    return or_(*matches, jobs.c.task.in_(of_data))


def sorted_by(sort: JobSort, order: SortOrder) -> ColumnElement[Any]:
    """Value by which jobs are put in order. A job without it comes last, whichever way the others go."""
    last = literal(math.copysign(1.7e308, 1 if order == "asc" else -1), Float)
    match sort:
        case "created":
            return jobs.c.id
        case "name":
            return func.lower(jobs.c.name)
        case "task":
            return jobs.c.task
        case "state":
            return jobs.c.state
        case "loss":
            return func.coalesce(jobs.c.best["loss"].as_float(), last)
        case "cost":
            return func.coalesce(jobs.c.progress["run_equivalents"].as_float(), last)


def beyond(by: ColumnElement[Any], order: SortOrder, value: Any, job_id: str) -> ColumnElement[bool]:
    """Condition on the jobs of the next pages: behind this value, or with the same and older."""
    return or_(by > value if order == "asc" else by < value, and_(by == value, jobs.c.id < job_id))


def encode_place(sort: JobSort, order: SortOrder, value: str | float, job_id: str) -> str:
    """Cursor of the page that begins after the job with this value, in that order."""
    place = json.dumps([sort, order, value, job_id], separators=(",", ":"))
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def decode_place(cursor: str, sort: JobSort, order: SortOrder) -> tuple[str | float, str]:
    """Value and id of the job after which the page begins. Raises InvalidCursor, also for one of another order."""
    try:
        place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidCursor(cursor) from error
    match place:
        case [str(by), str(way), (str() | float()) as value, str(job_id)] if (
            (by, way) == (sort, order)
            and identifiers.JOB_ID.fullmatch(job_id)
            and isinstance(value, float) == (sort in NUMBERS)
            and (math.isfinite(value) if isinstance(value, float) else value.isprintable())
        ):
            return value, job_id
    raise InvalidCursor(cursor)


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
