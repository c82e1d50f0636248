"""Route of the estimates: what a job would take, before anything is spent."""

from fastapi import APIRouter

from service.dependencies import CallerDependency, DatabaseDependency, SettingsDependency
from service.estimates import service
from service.problems.answers import PROBLEMS
from windtunnel.types import JobSpec
from windtunnel.types.estimates import Estimate

router = APIRouter(prefix="/v1/estimates", tags=["estimates"], responses=PROBLEMS)


@router.post("", response_model=Estimate)
def create_estimate(
    spec: JobSpec, database: DatabaseDependency, settings: SettingsDependency, caller: CallerDependency
) -> Estimate:
    """Run-equivalents, seconds and peak memory of a job; where it does not fit, what would. Nothing is queued."""
    return service.estimated(database, settings, caller, spec)
