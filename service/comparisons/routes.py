"""Routes of comparisons."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.comparisons import service
from service.comparisons.schemas import ComparisonQuery
from service.dependencies import CallerDependency, DatabaseDependency
from service.problems.answers import PROBLEMS
from windtunnel.types.comparisons import Comparison

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=PROBLEMS)


@router.get("/compare", response_model=Comparison)
def compare_jobs(
    query: Annotated[ComparisonQuery, Query()], database: DatabaseDependency, caller: CallerDependency
) -> Comparison:
    """Jobs side by side: curves over cost, every point tried, importances, and where specs and results differ."""
    return service.compare(database, caller, query.job)
