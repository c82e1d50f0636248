"""Routes of transfer plans: make one from a finished job or from given values, list, get and export them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.dependencies import CallerDependency, DatabaseDependency, JobId, OwnJobId, PlanId, SettingsDependency
from service.plans import service
from service.plans.schemas import AllPlansQuery, PlanList, PlanQuery, PlanRequest, PlansQuery
from service.problems.answers import PROBLEMS
from service.proxying import address
from windtunnel.types import TransferPlan
from windtunnel.types.carry import CarryRequest
from windtunnel.types.exports import EXPORTS
from windtunnel.types.plans import PlanPage

router = APIRouter(prefix="/v1", tags=["plans"], responses=PROBLEMS)


@router.post("/jobs/{job_id}/plans", status_code=201, response_model=TransferPlan)
def create_plan(
    request: Request,
    job_id: OwnJobId,
    wanted: PlanRequest,
    response: Response,
    *,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
) -> TransferPlan:
    """The config of a large model, from what the job found for the proxy."""
    plan = service.create(database, settings, caller, job_id, wanted)
    response.headers["location"] = address(request, f"/v1/plans/{plan.id}")
    return plan


@router.post("/plans", status_code=201, response_model=TransferPlan)
async def carry_values(
    request: Request,
    wanted: CarryRequest,
    response: Response,
    *,
    database: DatabaseDependency,
    settings: SettingsDependency,
    caller: CallerDependency,
) -> TransferPlan:
    """The config of a large model, from values that were found elsewhere. Nothing is tuned; a coordinate check is run."""
    async with request.app.state.checking.take(caller.owner):
        plan = await run_in_threadpool(service.carry, database, settings, caller, wanted)
    response.headers["location"] = address(request, f"/v1/plans/{plan.id}")
    return plan


@router.get("/plans", response_model=PlanPage)
def list_all_plans(
    query: Annotated[AllPlansQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> PlanPage:
    """Your plans in short, of jobs and of given values, newest first, page by page."""
    return service.latest(database, caller, query)


@router.get("/jobs/{job_id}/plans", response_model=PlanList)
def list_plans(
    job_id: JobId, query: Annotated[PlansQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> PlanList:
    """The plans made from a job, oldest first, page by page."""
    return service.page(database, caller, job_id, query)


@router.delete("/plans/{plan_id}", status_code=204)
def delete_plan(plan_id: PlanId, database: DatabaseDependency, caller: CallerDependency) -> None:
    """Delete a plan. Its job stays, from which it can be made again."""
    service.delete(database, caller, plan_id)


@router.get(
    "/plans/{plan_id}",
    response_model=TransferPlan,
    responses={200: {"content": {info.media.partition(";")[0]: {} for info in EXPORTS.values()}}},
)
def get_plan(
    plan_id: PlanId, query: Annotated[PlanQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> Response:
    """One plan, in the format asked for; a format that cannot express it is refused with the reason."""
    plan = service.get(database, caller, plan_id)
    info = EXPORTS[query.format]
    name = f'inline; filename="{plan.id}{info.suffix}"'
    text = service.exported(plan, query.format)
    return Response(text, media_type=info.media, headers={"content-disposition": name})
