"""Routes of transfer plans: make one from a finished job, get it, export it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from hpo.errors import Refused
from hpo.exports.registry import export
from hpo.laws.planning import predicted_loss
from hpo.plans.transfer import make_plan
from service.answers import PROBLEMS, invalid, problem
from service.dependencies import DatabaseDependency, JobId, OwnerDependency, PlanId
from service.jobs.routes import not_finished
from service.jobs.schemas import PlanList
from service.laws.routes import stored_fit
from service.plans.schemas import PlanQuery, PlanRequest
from service.problems import misfit_error
from store import identifiers, jobs, plans
from windtunnel.types import FieldError, Target, TransferPlan
from windtunnel.types.exports import EXPORTS

router = APIRouter(prefix="/v1", tags=["plans"], responses=PROBLEMS)


@router.post("/jobs/{job_id}/plans", status_code=201, response_model=TransferPlan)
def create_plan(
    job_id: JobId, wanted: PlanRequest, response: Response, database: DatabaseDependency, owner: OwnerDependency
) -> TransferPlan:
    """The config of a large model, from what the job found for the proxy."""
    with database.snapshot() as session:
        job = jobs.get(session, job_id)
        result = jobs.result(session, job_id)
    if result is None:
        raise not_finished(job)
    target = Target.model_validate(wanted.model_dump(exclude={"force", "law_fit"}))
    fit = None if wanted.law_fit is None else stored_fit(database, wanted.law_fit, "/law_fit", owner)
    try:
        result.spec.check_target(target, "")
        plan = make_plan(
            result, target, plan_id=identifiers.plan_id(), job_id=job_id, created_at=datetime.now(UTC), force=wanted.force
        )
    except PydanticCustomError as misfit:
        raise invalid([misfit_error(misfit)]) from misfit
    except Refused as refusal:
        detail = f"{refusal.message}; {refusal.hint}" if refusal.hint else refusal.message
        raise problem(409, "transfer-refused", "The transfer cannot be trusted", detail) from refusal
    if fit is not None:
        predicted = predicted_loss(plan, fit)
        if predicted is None:
            message = f"fit {fit.id} has no law of the loss; it has {', '.join(law.law for law in fit.laws)}"
            raise invalid([FieldError(pointer="/law_fit", message=message, given=fit.id)])
        plan = plan.model_copy(update={"predicted_loss": predicted})
    with database.transaction() as session:
        plans.save(session, plan)
    response.headers["location"] = f"/v1/plans/{plan.id}"
    return plan


@router.get("/jobs/{job_id}/plans", response_model=PlanList)
def list_plans(job_id: JobId, database: DatabaseDependency) -> PlanList:
    """The plans made from a job, oldest first."""
    with database.snapshot() as session:
        jobs.get(session, job_id)
        return PlanList(items=plans.of_job(session, job_id))


@router.get(
    "/plans/{plan_id}",
    response_model=TransferPlan,
    responses={200: {"content": {info.media.partition(";")[0]: {} for info in EXPORTS.values()}}},
)
def get_plan(plan_id: PlanId, query: Annotated[PlanQuery, Query()], database: DatabaseDependency) -> Response:
    """One plan, in the format asked for; a format that cannot express it is refused with the reason."""
    with database.snapshot() as session:
        plan = plans.get(session, plan_id)
    info = EXPORTS[query.format]
    name = f'inline; filename="{plan.id}{info.suffix}"'
    try:
        text = export(plan, query.format)
    except PydanticCustomError as misfit:
        raise invalid([misfit_error(misfit)]) from misfit
    return Response(text, media_type=info.media, headers={"content-disposition": name})
