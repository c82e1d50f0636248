"""Routes of the estimators and of the hyperparameters that can be searched."""

from fastapi import APIRouter

from service.answers import PROBLEMS
from windtunnel.types.base import Response
from windtunnel.types.listings import (
    EstimatorListing,
    HyperparameterListing,
    listed_estimators,
    listed_hyperparameters,
)

router = APIRouter(prefix="/v1", tags=["estimators"], responses=PROBLEMS)


class EstimatorList(Response):
    """Every estimator, the default first."""

    items: list[EstimatorListing]


class HyperparameterList(Response):
    """Every hyperparameter."""

    items: list[HyperparameterListing]


@router.get("/estimators", response_model=EstimatorList)
def list_estimators() -> EstimatorList:
    """The estimators that `method.estimator` may name: cost, bias, settings, what each can differentiate, and why not."""
    return EstimatorList(items=listed_estimators())


@router.get("/hyperparameters", response_model=HyperparameterList)
def list_hyperparameters() -> HyperparameterList:
    """What `search` may name: ranges, scopes, the coordinate of the search, and the estimators that can."""
    return HyperparameterList(items=listed_hyperparameters())
