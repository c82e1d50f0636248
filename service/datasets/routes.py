"""Routes of data sets: upload, list, get, delete."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from service.datasets import storage
from service.datasets.receiving import SCHEMA, received
from service.dependencies import DatabaseDependency, DatasetId, OwnerDependency, SettingsDependency
from service.problems.answers import PROBLEMS
from store import datasets
from windtunnel.types import Dataset
from windtunnel.types.base import Response as ResponseModel

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=PROBLEMS)


class DatasetList(ResponseModel):
    """Data sets, newest first."""

    items: list[Dataset]


@router.post(
    "",
    status_code=201,
    response_model=Dataset,
    responses={200: {"model": Dataset, "description": "You have this data set"}},
    openapi_extra=SCHEMA,
)
async def create_dataset(
    request: Request, database: DatabaseDependency, settings: SettingsDependency, owner: OwnerDependency
) -> Response:
    """Upload a file as a data set. The same content again gives the same data set, with status 200."""
    dataset, fresh = await upload(request, database, settings, owner)
    headers = {"location": f"/v1/datasets/{dataset.id}"}
    return JSONResponse(dataset.model_dump(mode="json"), 201 if fresh else 200, headers)


async def upload(
    request: Request, database: DatabaseDependency, settings: SettingsDependency, owner: str
) -> tuple[Dataset, bool]:
    """The data set that a request brings, and whether it was kept anew. Files are read one after the other."""
    async with received(request) as came, request.app.state.reading:
        return await run_in_threadpool(storage.store, database, settings, owner, came)


@router.get("", response_model=DatasetList)
def list_datasets(database: DatabaseDependency, owner: OwnerDependency) -> DatasetList:
    """Your data sets, newest first, without `columns` and `scaling`."""
    with database.snapshot() as session:
        return DatasetList(items=datasets.listing(session, owner=owner))


@router.get("/{dataset_id}", response_model=Dataset)
def get_dataset(dataset_id: DatasetId, database: DatabaseDependency, owner: OwnerDependency) -> Dataset:
    """One data set: what was recognised, how it is split and standardised."""
    with database.snapshot() as session:
        return datasets.get(session, dataset_id, owner=owner)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(
    dataset_id: DatasetId, database: DatabaseDependency, settings: SettingsDependency, owner: OwnerDependency
) -> None:
    """Delete a data set and its files. Refused while a job that has not ended uses it; its results and plans stay."""
    storage.remove(database, settings, owner, dataset_id)
