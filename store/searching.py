"""What a search for jobs finds: pieces of a name, a task or a data set, and ends of ids, in letters of either case."""

from sqlalchemy import ColumnElement, or_, select

from store.tables import datasets, jobs

SHORTEST_ID = 4
"""Characters from which on a search is also one for the end of an id: fewer would meet too many by chance."""


def found(search: str, owner: str) -> ColumnElement[bool]:
    """The condition on a job of the owner. No character of the search means anything but itself."""
    named = datasets.c.facts["name"].as_string().icontains(search, autoescape=True)
    of_data = select(datasets.c.id).where(datasets.c.owner == owner, named)
    matches = [jobs.c.name.icontains(search, autoescape=True), jobs.c.task.icontains(search, autoescape=True)]
    if len(search) >= SHORTEST_ID:
        matches.append(jobs.c.id.iendswith(search, autoescape=True))
    return or_(*matches, jobs.c.task.in_(of_data))
