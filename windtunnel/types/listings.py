"""Lists of the estimators and hyperparameters that a job may name, with all facts that a form or a program needs."""

from typing import Any, get_args

from pydantic import Field

from windtunnel.types.base import Response
from windtunnel.types.estimators import ESTIMATORS, EstimatorName, that_can
from windtunnel.types.hyperparameters import (
    BIJECTIONS,
    DEFAULT_RANGES,
    HARD_RANGES,
    SOURCED,
    Bijection,
    HyperparameterName,
    Scope,
    scopes_of,
)
from windtunnel.types.method import MethodSpec


class EstimatorListing(Response):
    """One estimator, as listed by ``GET /v1/estimators``."""

    name: EstimatorName
    title: str
    time: str
    """Formula of the time. T: steps; c: cost of a training gradient; k: number of hyperparameters."""
    memory: str
    """Formula of the memory. S: size of the optimizer's state."""
    bias: str
    source: str
    settings: list[str]
    can: list[HyperparameterName]
    cannot: list[HyperparameterName]
    why: str
    """Reason why it cannot differentiate the ones in ``cannot``."""
    json_schema: dict[str, Any] = Field(alias="schema")
    """JSON schema of its settings in ``method``."""


class HyperparameterListing(Response):
    """One hyperparameter, as listed by ``GET /v1/hyperparameters``."""

    name: HyperparameterName
    scopes: list[Scope]
    each: str | None
    """Thing for each of which a global item has a value: data source, knot of the schedule; None: it has one value."""
    low: float
    """Lower end of the default range of a search."""
    high: float
    """Upper end of the default range."""
    least: float
    """Lower end of the widest range that a search may have."""
    most: float
    """Upper end of the widest range."""
    bijection: Bijection
    """Coordinate of gradients and moves: log x, logit x, or logit(1 - x)."""
    estimators: list[EstimatorName]
    """Names of the estimators that can differentiate it."""


def listed_estimators() -> list[EstimatorListing]:
    """Every estimator, in the order of the catalogue."""
    names, schema = get_args(HyperparameterName), MethodSpec.model_json_schema()
    return [
        EstimatorListing(
            name=info.name,
            title=info.title,
            time=info.time,
            memory=info.memory,
            bias=info.bias,
            source=info.source,
            settings=list(info.settings),
            can=[name for name in names if info.can(name)],
            cannot=[name for name in names if not info.can(name)],
            why=info.why,
            schema={
                "type": "object",
                "properties": {name: schema["properties"][name] for name in info.settings},
                "additionalProperties": False,
            },
        )
        for info in ESTIMATORS.values()
    ]


def listed_hyperparameters() -> list[HyperparameterListing]:
    """Every hyperparameter that can be searched."""
    return [
        HyperparameterListing(
            name=name,
            scopes=list(scopes_of(name)),
            each=SOURCED.get(name),
            low=low,
            high=high,
            least=HARD_RANGES[name][0],
            most=HARD_RANGES[name][1],
            bijection=BIJECTIONS[name],
            estimators=that_can(name),
        )
        for name, (low, high) in DEFAULT_RANGES.items()
    ]
