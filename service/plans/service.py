"""Transfer plans as their callers see them: make, list, read, export, for routes and pages alike."""

from datetime import UTC, datetime

from pydantic_core import PydanticCustomError

from hpo.errors import Refused
from hpo.exports.registry import export
from hpo.families.facts.registry import proxy_tensors
from hpo.laws.planning import predicted_loss
from hpo.laws.refusals import LawRefused
from hpo.plans.carrying import carried, check_values
from hpo.plans.transfer import make_plan
from service.caller import Caller
from service.datasets.admission import carried_request
from service.jobs import service as job_service
from service.laws.service import law_refused, stored_fit
from service.plans.checking import checked
from service.plans.schemas import AllPlansQuery, PlanList, PlanRequest, PlansQuery
from service.problems.answers import invalid, problem
from service.problems.problems import misfit_error
from service.settings import ServiceSettings
from store import identifiers, plans
from store.database import Database
from windtunnel.types import FieldError, Target, TransferPlan
from windtunnel.types.carry import CarryRequest
from windtunnel.types.exports import ExportFormat
from windtunnel.types.plans import PlanBrief, PlanPage


def create(database: Database, settings: ServiceSettings, caller: Caller, job_id: str, wanted: PlanRequest) -> TransferPlan:
    """Make the plan of a large model from the result of a job of the caller, and keep it.

    Raises:
        JobNotFound: the caller has no such job.
        TooManyPlans: the caller has as many as one may have.
        ProblemError: 409, the job has no result, or what it measured speaks against the transfer.
        ProblemError: 422, the target or the law fit does not suit the job.
    """
    result = job_service.result(database, caller, job_id)
    target = Target.model_validate(wanted.model_dump(exclude={"force", "law_fit"}))
    fit = None if wanted.law_fit is None else stored_fit(database, caller, wanted.law_fit, "/law_fit")
    try:
        result.spec.check_target(target, "")
        plan = make_plan(
            result, target, plan_id=identifiers.plan_id(), job_id=job_id, created_at=datetime.now(UTC), force=wanted.force
        )
    except PydanticCustomError as misfit:
        raise invalid([misfit_error(misfit)]) from misfit
    except Refused as refusal:
        raise problem(409, "transfer-refused", "The transfer cannot be trusted", str(refusal)) from refusal
    if fit is not None:
        try:
            predicted = predicted_loss(plan, fit)
        except LawRefused as refusal:
            raise law_refused(refusal) from refusal
        if predicted is None:
            message = f"fit {fit.id} has no law of the loss; it has {', '.join(law.law for law in fit.laws)}"
            raise invalid([FieldError(pointer="/law_fit", message=message, given=fit.id)])
        plan = plan.model_copy(update={"predicted_loss": predicted})
    with database.transaction() as session:
        plans.save(session, plan, owner=caller.owner, most=settings.max_plans)
    return plan


def carry(database: Database, settings: ServiceSettings, caller: Caller, wanted: CarryRequest) -> TransferPlan:
    """Make the plan of a large model from values that the caller gives, and keep it.

    Raises:
        TooManyPlans: the caller has as many as one may have.
        ProblemError: 409, the coordinate check or a rule speaks against the transfer, or there is no check.
        ProblemError: 422, a value or another field does not fit.
    """
    wanted, dataset = carried_request(wanted, database, caller)
    spec = wanted.spec
    try:
        tensors = proxy_tensors(spec.model, spec.info)
        check_values(wanted, tensors)
        check, digest = None, ""
        if wanted.target.width != spec.model.width and spec.parametrization != "standard":
            check, digest = checked(spec, wanted.labels, dataset, settings)
        plan = carried(wanted, check, plan_id=identifiers.plan_id(), created_at=datetime.now(UTC), data_sha256=digest)
    except PydanticCustomError as misfit:
        raise invalid([misfit_error(misfit)]) from misfit
    except Refused as refusal:
        raise problem(409, "transfer-refused", "The transfer cannot be trusted", str(refusal)) from refusal
    with database.transaction() as session:
        plans.save(session, plan, owner=caller.owner, most=settings.max_plans)
    return plan


def latest(database: Database, caller: Caller, query: AllPlansQuery) -> PlanPage:
    """One page of the caller's plans, of jobs and of given values, newest first."""
    with database.snapshot() as session:
        items, cursor = plans.latest(session, owner=caller.owner, limit=query.limit, before=query.cursor)
    return PlanPage(items=[PlanBrief.model_validate(item._asdict()) for item in items], next_cursor=cursor)


def page(database: Database, caller: Caller, job_id: str, query: PlansQuery) -> PlanList:
    """One page of the plans made from a job of the caller, oldest first. Raises JobNotFound."""
    with database.snapshot() as session:
        items, cursor = plans.page(session, job_id, owner=caller.owner, limit=query.limit, after=query.cursor)
    return PlanList(items=items, next_cursor=cursor)


def delete(database: Database, caller: Caller, plan_id: str) -> None:
    """Delete a plan of the caller. Raises PlanNotFound."""
    with database.transaction() as session:
        plans.remove(session, plan_id, owner=caller.owner)


def get(database: Database, caller: Caller, plan_id: str) -> TransferPlan:
    """One plan of the caller. Raises PlanNotFound."""
    with database.snapshot() as session:
        return plans.get(session, plan_id, owner=caller.owner)


def exported(plan: TransferPlan, kind: ExportFormat) -> str:
    """A plan as text of this format.

    Raises:
        ProblemError: 422, the format cannot express it.
    """
    try:
        return export(plan, kind)
    except PydanticCustomError as misfit:
        raise invalid([misfit_error(misfit)]) from misfit
