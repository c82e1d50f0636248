"""Uploaded data sets: whose they are, what is known of them, where their files lie. The files are the service's to write.

Every change of a data set, and every job that begins to use it, holds the row's lock until its transaction ends: so no job
starts on a data set that is being deleted. What is known of a deleted one stays, for the jobs and plans that came from it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, func, select, update
from sqlalchemy.orm import Session

from store.dialect import insert_or_ignore, now, take_turns
from store.errors import DatasetInUse, DatasetNotFound, DatasetsTooLarge, TooManyDatasets
from store.files import path_of
from store.tables import datasets, jobs
from windtunnel.types import Dataset, TaskInfo, is_dataset

LIVE = ("queued", "running", "paused")
"""States of jobs that read their data again."""


def keep(s: Session, dataset: Dataset, *, owner: str, limit: int, most_bytes: int | None = None) -> tuple[Dataset, bool]:
    """Keep a data set, or the one that this owner has with the same content; was it kept anew?

    The row stays locked: now is the time to put the files in their place.

    Args:
        s: a session that writes.
        dataset: what is known of it.
        owner: whose it is.
        limit: data sets that the owner may have.
        most_bytes: that they may take together; None for any number.

    Raises:
        TooManyDatasets: the owner has ``limit`` others.
        DatasetsTooLarge: with the owner's others it takes more than ``most_bytes``.
    """
    take_turns(s, "datasets", whose=owner)
    facts = dataset.model_dump(mode="json", exclude={"created_at"})
    row = {"id": dataset.id, "owner": owner, "sha256": dataset.sha256, "path": path_of(dataset.id), "facts": facts}
    inserted = insert_or_ignore(s, datasets, {**row, "created_at": now()})
    held = s.execute(select(datasets).where(datasets.c.id == dataset.id, datasets.c.owner == owner).with_for_update()).one()
    fresh = inserted or held.deleted_at is not None
    if fresh:
        # As floats: an integer out of JSON is one of 32 bits to PostgreSQL.
        sizes = [datasets.c.facts[name].as_float() for name in ("stored_bytes", "bytes")]
        size = func.coalesce(func.sum(func.coalesce(func.nullif(sizes[0], 0.0), sizes[1])), 0.0)
        others = (datasets.c.owner == owner, datasets.c.deleted_at.is_(None), datasets.c.id != dataset.id)
        count, kept = s.execute(select(func.count(), size).where(*others)).one()
        if count >= limit:
            raise TooManyDatasets(limit)
        if most_bytes is not None and kept + dataset.stored_bytes > most_bytes:
            raise DatasetsTooLarge(int(kept), dataset.stored_bytes, most_bytes)
        revived = update(datasets).where(datasets.c.id == dataset.id, datasets.c.owner == owner)
        s.execute(revived.values(facts=facts, deleted_at=None, created_at=now()))
    return get(s, dataset.id, owner=owner), fresh


def get(s: Session, dataset_id: str, *, owner: str) -> Dataset:
    """One data set.

    Raises:
        DatasetNotFound: this owner has none of that id.
    """
    return as_dataset(_found(s, select(datasets), dataset_id, owner))


def hold(s: Session, dataset_id: str, *, owner: str) -> Dataset:
    """One data set, locked against deletion until the transaction ends.

    Raises:
        DatasetNotFound: this owner has no data set of that id.
    """
    return as_dataset(_found(s, select(datasets).with_for_update(), dataset_id, owner))


def listing(s: Session, *, owner: str) -> list[Dataset]:
    """The owner's data sets, newest first, without their columns and scaling, which may be long."""
    mine = select(datasets).where(datasets.c.owner == owner, datasets.c.deleted_at.is_(None))
    rows = s.execute(mine.order_by(datasets.c.created_at.desc(), datasets.c.id))
    return [as_dataset(row).model_copy(update={"scaling": None, "columns": []}) for row in rows]


def delete(s: Session, dataset_id: str, *, owner: str) -> Dataset:
    """Take a data set away; its files may go while the transaction is open.

    Raises:
        DatasetNotFound: this owner has none of that id.
        DatasetInUse: a job that has not ended reads it.
    """
    dataset = hold(s, dataset_id, owner=owner)
    users = select(jobs.c.id).where(jobs.c.task == dataset_id, jobs.c.state.in_(LIVE)).order_by(jobs.c.id)
    using = list(s.scalars(users))
    if using:
        raise DatasetInUse(dataset_id, using)
    s.execute(update(datasets).where(datasets.c.id == dataset_id, datasets.c.owner == owner).values(deleted_at=now()))
    return dataset


def facts(s: Session, tasks: Iterable[str]) -> dict[str, TaskInfo]:
    """Name -> facts, for the tasks that are data sets; data sets of every owner and deleted ones included."""
    wanted = {task for task in tasks if is_dataset(task)}
    if not wanted:
        return {}
    found = s.execute(select(datasets).where(datasets.c.id.in_(wanted)))
    return {row.id: as_dataset(row).task for row in found}


def _found(s: Session, rows: Select[Any], dataset_id: str, owner: str) -> Row[Any]:
    """Row of the owner's data set; a stranger's is not there. Raises DatasetNotFound."""
    row = s.execute(rows.where(datasets.c.id == dataset_id, datasets.c.owner == owner)).first()
    if row is None:
        raise DatasetNotFound(dataset_id)
    if row.deleted_at is not None:
        raise DatasetNotFound(dataset_id, deleted=True)
    return row


def as_dataset(row: Row[Any]) -> Dataset:
    """Data set of its row."""
    return Dataset.model_validate({**row.facts, "created_at": datetime.fromtimestamp(row.created_at, UTC)})
