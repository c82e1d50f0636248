"""Routes of data sets: upload, list, get, delete."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.datasets import service
from service.datasets.receiving import SCHEMA, upload
from service.dependencies import CallerDependency, DatabaseDependency, DatasetId, SettingsDependency
from service.problems.answers import PROBLEMS
from service.proxying import address
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
    request: Request, database: DatabaseDependency, settings: SettingsDependency, caller: CallerDependency
) -> Response:
    """Upload a file as a data set. The same content again gives the same data set, with status 200."""
    dataset, fresh = await upload(request, database, settings, caller)
    headers = {"location": address(request, f"/v1/datasets/{dataset.id}")}
    return JSONResponse(dataset.model_dump(mode="json"), 201 if fresh else 200, headers)


@router.get("", response_model=DatasetList)
def list_datasets(database: DatabaseDependency, caller: CallerDependency) -> DatasetList:
    """Your data sets, newest first, without `columns` and `scaling`."""
    return DatasetList(items=service.listing(database, caller))


@router.get("/{dataset_id}", response_model=Dataset)
def get_dataset(dataset_id: DatasetId, database: DatabaseDependency, caller: CallerDependency) -> Dataset:
    """One data set: what was recognised, how it is split and standardised."""
    return service.get(database, caller, dataset_id)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(
    dataset_id: DatasetId, database: DatabaseDependency, settings: SettingsDependency, caller: CallerDependency
) -> None:
    """Delete a data set and its files. Refused while a job that has not ended uses it; its results and plans stay."""
    service.delete(database, settings, caller, dataset_id)
