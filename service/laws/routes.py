"""Routes of scaling laws: fit a table, read fits, allocate a budget."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.dependencies import CallerDependency, DatabaseDependency, LawFitId, SettingsDependency
from service.laws import service
from service.laws.schemas import CsvQuery, FitsQuery
from service.problems.answers import PROBLEMS
from service.proxying import address
from windtunnel.types.allocations import AllocationPlan, AllocationRequest
from windtunnel.types.laws import LawFit, LawFitList

router = APIRouter(prefix="/v1/laws", tags=["laws"], responses=PROBLEMS)

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/LawFitRequest"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}
"""Documentation of a body that the route reads itself, for it may be CSV."""


@router.post("/fits", status_code=201, response_model=LawFit, openapi_extra=BODY)
async def create_fit(
    request: Request,
    query: Annotated[CsvQuery, Query()],
    response: Response,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
) -> LawFit:
    """Fit scaling laws to a table of runs: JSON, or CSV with the options in the query."""
    body = await request.body()
    is_csv = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/csv"
    make = service.fit_csv if is_csv else service.fit_json
    fit = await run_in_threadpool(make, database, settings, caller, body, query)
    response.headers["location"] = address(request, f"/v1/laws/fits/{fit.id}")
    return fit


@router.get("/fits", response_model=LawFitList)
def list_fits(query: Annotated[FitsQuery, Query()], database: DatabaseDependency, caller: CallerDependency) -> LawFitList:
    """Stored fits, newest first."""
    return service.page(database, caller, query)


@router.get("/fits/{fit_id}", response_model=LawFit)
def read_fit(fit_id: LawFitId, database: DatabaseDependency, caller: CallerDependency) -> LawFit:
    """One fit with its laws, intervals and the run held out."""
    return service.get(database, caller, fit_id)


@router.delete("/fits/{fit_id}", status_code=204)
def delete_fit(fit_id: LawFitId, database: DatabaseDependency, caller: CallerDependency) -> None:
    """Delete a fit. Plans for which it predicted a loss keep what it predicted."""
    service.delete(database, caller, fit_id)


@router.post("/allocations", response_model=AllocationPlan)
def create_allocation(wanted: AllocationRequest, database: DatabaseDependency, caller: CallerDependency) -> AllocationPlan:
    """Spend a budget by Kaplan's law and by Hoffmann's, and by those of a stored fit, side by side."""
    return service.allocated(database, caller, wanted)
