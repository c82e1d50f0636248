"""The pages of data sets: a list with a form to upload, and one page each. Forms work without JavaScript."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from service.datasets import storage
from service.datasets.options import SUFFIXES
from service.datasets.routes import upload
from service.dependencies import DatabaseDependency, DatasetId, OwnerDependency, SettingsDependency
from service.jobs.admission import size_in_words
from service.pages.rendering import render
from service.problems.answers import ProblemError, told
from service.settings import ServiceSettings
from store import datasets, jobs
from store.database import Database
from store.errors import DatasetInUse, DatasetsTooLarge, TooManyDatasets
from windtunnel.types import Problem

SHOWN_COLUMNS = 100
SHOWN_JOBS = 20

router = APIRouter(include_in_schema=False)


@router.get("/datasets")
def datasets_page(database: DatabaseDependency, settings: SettingsDependency, owner: OwnerDependency) -> HTMLResponse:
    """The owner's data sets, and the form for another."""
    return _list(database, settings, owner)


@router.post("/datasets")
async def upload_page(
    request: Request, database: DatabaseDependency, settings: SettingsDependency, owner: OwnerDependency
) -> Response:
    """The form: on to the page of the data set, or back to the form with what is wrong."""
    try:
        dataset, _ = await upload(request, database, settings, owner)
    except (ProblemError, TooManyDatasets, DatasetsTooLarge) as error:
        return await run_in_threadpool(_list, database, settings, owner, told(request, error))
    return RedirectResponse(f"/datasets/{dataset.id}", 303)


@router.get("/datasets/{dataset_id}")
def dataset_page(dataset_id: DatasetId, database: DatabaseDependency, owner: OwnerDependency) -> HTMLResponse:
    """One data set."""
    return _one(database, owner, dataset_id)


@router.post("/datasets/{dataset_id}/delete")
def delete_page(
    request: Request,
    dataset_id: DatasetId,
    database: DatabaseDependency,
    settings: SettingsDependency,
    owner: OwnerDependency,
) -> Response:
    """The button: on to the list, or back to the data set with the reason."""
    try:
        storage.remove(database, settings, owner, dataset_id)
    except DatasetInUse as error:
        return _one(database, owner, dataset_id, told(request, error))
    return RedirectResponse("/datasets", 303)


def _list(database: Database, settings: ServiceSettings, owner: str, problem: Problem | None = None) -> HTMLResponse:
    with database.snapshot() as session:
        mine = datasets.listing(session, owner=owner)
    return render(
        "datasets.html",
        200 if problem is None else problem.status,
        datasets=mine,
        problem=problem,
        limit=size_in_words(settings.max_dataset_bytes),
        suffixes=",".join(SUFFIXES),
    )


def _one(database: Database, owner: str, dataset_id: str, problem: Problem | None = None) -> HTMLResponse:
    with database.snapshot() as session:
        dataset = datasets.get(session, dataset_id, owner=owner)
        used = jobs.page(session, task=dataset_id, limit=SHOWN_JOBS)
    scaling, rows = dataset.scaling, list[Any]()
    if scaling is not None and dataset.columns:
        rows = list(zip(dataset.columns, scaling.mean, scaling.deviation, strict=True))
    return render(
        "dataset.html",
        200 if problem is None else problem.status,
        dataset=dataset,
        problem=problem,
        jobs=used.items,
        rows=rows[:SHOWN_COLUMNS],
        hidden=max(0, len(rows) - SHOWN_COLUMNS),
    )
