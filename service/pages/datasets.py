"""The pages of data sets: a list with a form to upload, and one page each. Forms work without JavaScript."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from service.caller import Caller
from service.datasets import service
from service.datasets.options import SUFFIXES
from service.datasets.receiving import upload
from service.dependencies import CallerDependency, DatabaseDependency, DatasetId, SettingsDependency
from service.jobs.admission import size_in_words
from service.pages.site import Site, SiteDependency
from service.problems.answers import ProblemError, problem_of
from service.settings import ServiceSettings
from store import datasets, jobs
from store.database import Database
from store.errors import DatasetInUse, DatasetsTooLarge, TooManyDatasets
from windtunnel.types import Problem

SHOWN_COLUMNS = 100
SHOWN_JOBS = 20

router = APIRouter(include_in_schema=False)


@router.get("/datasets")
def datasets_page(
    database: DatabaseDependency, settings: SettingsDependency, caller: CallerDependency, site: SiteDependency
) -> HTMLResponse:
    """The owner's data sets, and the form for another."""
    return _list(site, database, settings, caller)


@router.post("/datasets")
async def upload_page(
    request: Request,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The form: on to the page of the data set, or back to the form with what is wrong."""
    try:
        dataset, _ = await upload(request, database, settings, caller)
    except (ProblemError, TooManyDatasets, DatasetsTooLarge) as error:
        return await run_in_threadpool(_list, site, database, settings, caller, problem_of(request, error))
    return site.to(f"/datasets/{dataset.id}")


@router.get("/datasets/{dataset_id}")
def dataset_page(
    dataset_id: DatasetId, database: DatabaseDependency, caller: CallerDependency, site: SiteDependency
) -> HTMLResponse:
    """One data set."""
    return _one(site, database, caller, dataset_id)


@router.post("/datasets/{dataset_id}/delete")
def delete_page(
    request: Request,
    dataset_id: DatasetId,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
    site: SiteDependency,
) -> Response:
    """The button: on to the list, or back to the data set with the reason."""
    try:
        service.delete(database, settings, caller, dataset_id)
    except DatasetInUse as error:
        return _one(site, database, caller, dataset_id, problem_of(request, error))
    return site.to("/datasets")


def _list(
    site: Site, database: Database, settings: ServiceSettings, caller: Caller, problem: Problem | None = None
) -> HTMLResponse:
    return site.page(
        "datasets.html",
        200 if problem is None else problem.status,
        datasets=service.listing(database, caller),
        problem=problem,
        limit=size_in_words(settings.max_dataset_bytes),
        stream_limit=size_in_words(settings.max_stream_bytes),
        suffixes=",".join(SUFFIXES),
    )


def _one(site: Site, database: Database, caller: Caller, dataset_id: str, problem: Problem | None = None) -> HTMLResponse:
    with database.snapshot() as session:
        dataset = datasets.get(session, dataset_id, owner=caller.owner)
        used = jobs.page(session, owner=caller.owner, task=dataset_id, limit=SHOWN_JOBS)
    scaling, rows = dataset.scaling, list[Any]()
    if scaling is not None and dataset.columns:
        rows = list(zip(dataset.columns, scaling.mean, scaling.deviation, strict=True))
    return site.page(
        "dataset.html",
        200 if problem is None else problem.status,
        dataset=dataset,
        problem=problem,
        jobs=used.items,
        rows=rows[:SHOWN_COLUMNS],
        hidden=max(0, len(rows) - SHOWN_COLUMNS),
    )
