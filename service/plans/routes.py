"""Routes of transfer plans: make one from a finished job, get it, export it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.dependencies import CallerDependency, DatabaseDependency, JobId, OwnJobId, PlanId, SettingsDependency
from service.plans import service
from service.plans.schemas import PlanList, PlanQuery, PlanRequest, PlansQuery
from service.problems.answers import PROBLEMS
from service.proxying import address
from windtunnel.types import TransferPlan
from windtunnel.types.exports import EXPORTS

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
