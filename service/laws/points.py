"""Finished jobs as rows of a table of runs: each job's best point is one, or every point of its grid."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from hpo.laws.counting import count
from service.problems.answers import invalid
from store import jobs
from store.errors import JobNotFound
from windtunnel.types import FieldError, TuneResult
from windtunnel.types.laws import LawColumns, as_columns


def columns_of(session: Session, ids: Sequence[str], *, owner: str) -> LawColumns:
    """N of each proxy, tokens, batch and steps of its run, its best validation loss; of a job with a grid, its points.

    Raises:
        ProblemError: a job does not exist or has no result, or the jobs are not all of one task.
    """
    rows, tasks = [], set()
    for index, job_id in enumerate(ids):
        pointer = f"/jobs/{index}"
        try:
            job = jobs.get(session, job_id, owner=owner)
        except JobNotFound as error:
            raise invalid([FieldError(pointer=pointer, message=f"there is no job '{job_id}'", given=job_id)]) from error
        result = jobs.result(session, job_id, owner=owner)
        if result is None:
            message = f"job {job_id} is {job.state} and has no result; give jobs that succeeded"
            raise invalid([FieldError(pointer=pointer, message=message, given=job_id)])
        tasks.add(job.spec.task)
        if len(tasks) > 1:
            message = f"the jobs are of tasks {' and '.join(sorted(tasks))}: losses of different data make no law"
            raise invalid([FieldError(pointer=pointer, message=message, given=job_id)])
        rows += _rows(result)
    return LawColumns.model_validate(as_columns(rows))


def _rows(result: TuneResult) -> list[dict[str, float]]:
    spec = result.spec
    batch = float(spec.inner.batch_size * spec.context)
    # Its grid has the proxy's own size among its points.
    grid = result.scaling
    if grid is not None:
        return grid.rows(batch)
    own = {
        "parameters": float(count(spec.model, spec.info, spec.optimizer.name).non_embedding),
        "tokens": batch * spec.inner.steps,
        "batch_size": batch,
        "steps": float(spec.inner.steps),
        "loss": result.best.validation.mean,
    }
    return [own]
