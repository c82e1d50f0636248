"""Jobs as users see them: submit, read, list, cancel, pause, resume. What workers do to a job is in leases.py.

queued --request_pause--> paused --resume--> queued
queued | paused --request_cancel--> cancelled
A running job is asked: its worker releases it, and then it is paused or cancelled.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, func, insert, select, update
from sqlalchemy.orm import Session

from store import datasets, events, identifiers
from store.dialect import insert_or_ignore, now, take_turns
from store.errors import IdempotencyConflict, JobNotFound, TooManyJobs
from store.paging import beyond, decode_cursor, decode_place, encode_cursor, encode_place, found, sorted_by
from store.tables import attempts as attempts_table
from store.tables import idempotency_keys, jobs, plans
from windtunnel.types import (
    TERMINAL_STATES,
    Attempt,
    BestPoint,
    Job,
    JobPage,
    JobSpec,
    JobState,
    PointEvaluation,
    Progress,
    TaskInfo,
    TuneResult,
    is_dataset,
)
from windtunnel.types.jobs import JobSort, SortOrder
from windtunnel.types.labels import JobLabels

LONGEST_KEY = 200

SHOWN = [column for column in jobs.c if column.name != "result"]
"""Columns that a Job is made from."""


def submit(s: Session, spec: JobSpec, *, owner: str, idempotency_key: str | None = None, most: int | None = None) -> Job:
    """Queue a job, or return the one that this owner's idempotency key made before from the same spec.

    Args:
        s: a session that writes.
        spec: what is asked for.
        owner: whose it is.
        idempotency_key: the same key and spec again give the same job.
        most: jobs that the owner may have at the same time, those that have ended not counted; None for any number.

    Raises:
        IdempotencyConflict: the key was used with another spec.
        TooManyJobs: the owner has ``most`` of them.
        DatasetNotFound: the task is an uploaded data set that is not there, or not this owner's.
        ValueError: the key is empty or longer than 200 characters.
    """
    new_id = identifiers.job_id()
    if idempotency_key is not None:
        if not 1 <= len(idempotency_key) <= LONGEST_KEY:
            raise ValueError(f"an idempotency key has 1 to {LONGEST_KEY} characters, got {len(idempotency_key)}")
        earlier = _claim_key(s, spec, owner, idempotency_key, new_id)
        if earlier is not None:
            return get(s, earlier, owner=owner)
    if most is not None:
        take_turns(s, "jobs", whose=owner)
        _check_quota(s, owner, most)
    if is_dataset(spec.task):
        datasets.hold(s, spec.task, owner=owner)
    waiting = Progress(
        outer_step=0, outer_steps=spec.outer.steps, inner_steps=0, phase="waiting", fraction=0.0, run_equivalents=0.0
    )
    s.execute(
        insert(jobs).values(
            id=new_id,
            owner=owner,
            name=spec.name,
            task=spec.task,
            spec=spec.model_dump(mode="json"),
            state="queued",
            epoch=0,
            queued_at=now(),
            next_ring_at=now(),
            rings=0,
            barren_crashes=0,
            last_seq=0,
            progress=waiting.model_dump(mode="json"),
            created_at=now(),
        )
    )
    events.append(s, new_id, "queued", {})
    return get(s, new_id, owner=owner)


def _check_quota(s: Session, owner: str, most: int) -> None:
    live = select(func.count()).select_from(jobs).where(jobs.c.owner == owner, jobs.c.state.not_in(TERMINAL_STATES))
    count = s.scalar(live) or 0
    if count >= most:
        raise TooManyJobs(count, most)


def _claim_key(s: Session, spec: JobSpec, owner: str, key: str, new_id: str) -> str | None:
    """Take the key for the new job; the id of the earlier job where the key was taken."""
    digest = identifiers.request_sha256(spec)
    row = {"owner": owner, "key": key, "request_sha256": digest, "job_id": new_id, "created_at": now()}
    if insert_or_ignore(s, idempotency_keys, row):
        return None
    found = select(idempotency_keys).where(idempotency_keys.c.owner == owner, idempotency_keys.c.key == key)
    earlier = s.execute(found).one()
    if earlier.request_sha256 != digest:
        raise IdempotencyConflict(key)
    return str(earlier.job_id)


def check(s: Session, job_id: str, *, owner: str) -> None:
    """Return where the owner has this job.

    Raises:
        JobNotFound: the owner has no such job.
    """
    if s.scalar(select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.owner == owner)) is None:
        raise JobNotFound(job_id)


def get(s: Session, job_id: str, *, owner: str) -> Job:
    """One job of the owner.

    Raises:
        JobNotFound: the owner has no such job.
    """
    return as_jobs(s, [_found(s, SHOWN, job_id, owner)])[0]


def owned(s: Session, job_ids: Sequence[str], *, owner: str) -> set[str]:
    """Subset of the ids that are jobs of the owner."""
    return set(s.scalars(select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.owner == owner)))


def page(
    s: Session,
    *,
    owner: str,
    state: JobState | None = None,
    task: str | None = None,
    search: str | None = None,
    tag: str | None = None,
    sort: JobSort = "created",
    order: SortOrder = "desc",
    limit: int = 50,
    cursor: str | None = None,
) -> JobPage:
    """Page of up to ``limit`` jobs of the owner, from ``cursor`` on. Newest first, jobs made meanwhile move no later page.

    ``search`` is a piece of a name, a task, a tag or a data set's name, or the end of an id, in letters of either case.

    Raises:
        InvalidCursor: the cursor is not the ``next_cursor`` of a page in this order.
        ValueError: ``limit`` is below 1.
    """
    if limit < 1:
        raise ValueError(f"a page has at least 1 job, got limit {limit}")
    by = sorted_by(sort, order)
    wanted = [jobs.c.owner == owner, *_narrowed(owner, task, search, tag)]
    if state is not None:
        wanted.append(jobs.c.state == state)
    newest = (sort, order) == ("created", "desc")
    if cursor is not None:
        wanted.append(
            jobs.c.id < decode_cursor(cursor) if newest else beyond(by, order, *decode_place(cursor, sort, order))
        )
    ways = (by.asc() if order == "asc" else by.desc(), jobs.c.id.desc())
    query = select(*SHOWN, by.label("sorted_by")).where(*wanted).order_by(*ways).limit(limit + 1)
    rows: Sequence[Any] = s.execute(query).all()
    items = as_jobs(s, rows[:limit])
    if len(rows) <= limit:
        return JobPage(items=items, next_cursor=None)
    last = rows[limit - 1]
    return JobPage(
        items=items,
        next_cursor=encode_cursor(last.id) if newest else encode_place(sort, order, last.sorted_by, last.id),
    )


def counts(
    s: Session, *, owner: str, task: str | None = None, search: str | None = None, tag: str | None = None
) -> dict[JobState, int]:
    """Number of the owner's jobs in each state that has any, of those that ``page`` would list in any state."""
    wanted = (jobs.c.owner == owner, *_narrowed(owner, task, search, tag))
    found = select(jobs.c.state, func.count().label("number")).where(*wanted).group_by(jobs.c.state)
    return {row.state: row.number for row in s.execute(found)}


def _narrowed(owner: str, task: str | None, search: str | None, tag: str | None) -> list[ColumnElement[bool]]:
    """Conditions on the jobs of a list."""
    wanted: list[ColumnElement[bool]] = []
    if task is not None:
        wanted.append(jobs.c.task == task)
    if search is not None:
        wanted.append(found(search, owner))
    if tag is not None:
        wanted.append(jobs.c.tags.contains(f" {tag} ", autoescape=True))
    return wanted


def label(s: Session, job_id: str, change: JobLabels, *, owner: str) -> Job:
    """Change name, tags or notes of a job of the owner; what is None stays.

    Raises:
        JobNotFound: the owner has no such job.
    """
    _held(s, job_id, owner)
    values = change.model_dump(exclude_none=True)
    if "tags" in values:
        values["tags"] = f" {' '.join(values['tags'])} " if values["tags"] else ""
    if values:
        s.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
    return get(s, job_id, owner=owner)


def request_cancel(s: Session, job_id: str, *, owner: str) -> Job:
    """Cancel a job that no worker holds; ask the worker of a running one to stop. A job that has ended stays as it is.

    Raises:
        JobNotFound: the owner has no such job.
    """
    held, this = _held(s, job_id, owner), update(jobs).where(jobs.c.id == job_id)
    match held.state:
        case "queued" | "paused":
            s.execute(this.values(state="cancelled", cancel_requested_at=now(), next_ring_at=None, finished_at=now()))
            events.append(s, job_id, "cancel_requested", {})
            events.append(s, job_id, "cancelled", {})
        case "running" if held.cancel_requested_at is None:
            s.execute(this.values(cancel_requested_at=now()))
            events.append(s, job_id, "cancel_requested", {})
    return get(s, job_id, owner=owner)


def request_pause(s: Session, job_id: str, *, owner: str) -> Job:
    """Pause a job that waits; ask the worker of a running one to release it. Any other job stays as it is.

    Raises:
        JobNotFound: the owner has no such job.
    """
    held, this = _held(s, job_id, owner), update(jobs).where(jobs.c.id == job_id)
    match held.state:
        case "queued":
            s.execute(this.values(state="paused", pause_requested_at=now(), next_ring_at=None, rung_at=None))
            events.append(s, job_id, "pause_requested", {})
            events.append(s, job_id, "paused", {})
        case "running" if held.pause_requested_at is None and held.cancel_requested_at is None:
            s.execute(this.values(pause_requested_at=now()))
            events.append(s, job_id, "pause_requested", {})
    return get(s, job_id, owner=owner)


def resume(s: Session, job_id: str, *, owner: str) -> Job:
    """Queue a paused job; take back the request where its worker has not released it yet. Any other job stays as it is.

    Raises:
        JobNotFound: the owner has no such job.
    """
    held, this = _held(s, job_id, owner), update(jobs).where(jobs.c.id == job_id)
    match held.state:
        case "paused":
            s.execute(this.values(state="queued", pause_requested_at=None, queued_at=now(), next_ring_at=now(), rings=0))
            events.append(s, job_id, "resumed", {})
        case "running" if held.pause_requested_at is not None:
            s.execute(this.values(pause_requested_at=None))
            events.append(s, job_id, "resumed", {})
    return get(s, job_id, owner=owner)


def _held(s: Session, job_id: str, owner: str) -> Row[Any]:
    """Row of the owner's job, locked against changes until the transaction ends. Raises JobNotFound."""
    columns = (jobs.c.state, jobs.c.cancel_requested_at, jobs.c.pause_requested_at)
    return _found(s, columns, job_id, owner, locked=True)


def _found(s: Session, columns: Iterable[Column[Any]], job_id: str, owner: str, *, locked: bool = False) -> Row[Any]:
    """Row of the owner's job. Raises JobNotFound, also for another owner's job."""
    wanted = select(*columns).where(jobs.c.id == job_id, jobs.c.owner == owner)
    row = s.execute(wanted.with_for_update() if locked else wanted).first()
    if row is None:
        raise JobNotFound(job_id)
    return row


def result(s: Session, job_id: str, *, owner: str) -> TuneResult | None:
    """Result of a job of the owner that succeeded; None for one in any other state.

    Raises:
        JobNotFound: the owner has no such job.
    """
    row = _found(s, [jobs.c.task, jobs.c.result], job_id, owner)
    if row.result is None:
        return None
    found, facts = TuneResult.model_validate(row.result), datasets.facts(s, [row.task]).get(row.task)
    return found if facts is None else found.model_copy(update={"spec": found.spec.knowing(facts)})


def attempts(s: Session, job_id: str, *, owner: str) -> list[Attempt]:
    """Every claim of the owner's job, oldest first.

    Raises:
        JobNotFound: the owner has no such job.
    """
    _found(s, [jobs.c.id], job_id, owner)
    found = select(attempts_table).where(attempts_table.c.job_id == job_id).order_by(attempts_table.c.epoch)
    return [
        Attempt(
            epoch=row.epoch,
            worker=row.worker_id,
            rung_at=_time(row.rung_at),
            started_at=datetime.fromtimestamp(row.started_at, UTC),
            ended_at=_time(row.ended_at),
            outcome=row.outcome,
            reason=row.reason,
        )
        for row in s.execute(found)
    ]


def as_jobs(s: Session, rows: Sequence[Row[Any]]) -> list[Job]:
    """Jobs of rows with the columns SHOWN, each with the ids of its plans."""
    facts = datasets.facts(s, {row.task for row in rows})
    ids = [row.id for row in rows]
    made = select(plans.c.job_id, plans.c.id).where(plans.c.job_id.in_(ids)).order_by(plans.c.created_at, plans.c.id)
    of_job: dict[str, list[str]] = {job_id: [] for job_id in ids}
    for plan in s.execute(made):
        of_job[plan.job_id].append(plan.id)
    judged = _judged(s, rows)
    return [_job(row, judged.get(row.id, row.best), of_job[row.id], facts.get(row.task)) for row in rows]


def _judged(s: Session, rows: Sequence[Row[Any]]) -> dict[str, BestPoint]:
    """Best points by job, on fresh seeds, of jobs that succeeded under a version that kept those of the search."""
    steps = {
        row.id: row.progress["outer_step"]
        for row in rows
        if row.state == "succeeded" and (row.best or {}).get("judged_on") != "fresh"
    }
    if not steps:
        return {}
    points = (jobs.c.result["start"].label("start"), jobs.c.result["best"].label("found"))
    found = s.execute(select(jobs.c.id, *points).where(jobs.c.id.in_(steps), jobs.c.result.is_not(None)))
    judged = {}
    for row in found:
        start, best = PointEvaluation.model_validate(row.start), PointEvaluation.model_validate(row.found)
        judged[row.id] = BestPoint.judged(best, best.gain_over(start), steps[row.id])
    return judged


def _job(row: Row[Any], best: BestPoint | dict[str, Any] | None, plan_ids: list[str], facts: TaskInfo | None) -> Job:
    spec = JobSpec.model_validate(row.spec)
    return Job(
        id=row.id,
        name=row.name,
        state=row.state,
        spec=spec if facts is None else spec.knowing(facts),
        task_title=spec.task if facts is None else facts.title,
        progress=row.progress,
        current=row.current,
        best=best,
        failure=row.failure,
        cancel_requested=row.cancel_requested_at is not None,
        pause_requested=row.state == "running" and row.pause_requested_at is not None,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        started_at=_time(row.started_at),
        finished_at=_time(row.finished_at),
        worker=row.worker_id,
        attempts=row.epoch,
        tags=tuple(row.tags.split()),
        notes=row.notes,
        plans=plan_ids,
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
