"""Several jobs side by side: their curves over cost, the points they tried, and where their specs and results differ."""

import json
from typing import Any, Literal

from windtunnel.types.base import Response
from windtunnel.types.jobs import Job
from windtunnel.types.verdicts import number

MOST_COMPARED = 8
"""Jobs in one comparison, at most: as many as there are colours that can be told apart."""
FEWEST_POINTS = 20
"""Points with a loss from which on importances are told: the best tenth of fewer is a single point."""


class Curve(Response):
    """Best validation loss of a job over its cost: one entry an outer step, in order."""

    cost: list[float]
    """Run-equivalents spent up to each step."""
    loss: list[float | None]
    """Validation loss that the step reports, nats; None where every run diverged."""
    best: list[float | None]
    """Lowest loss up to that step; None as long as there was none."""


class Points(Response):
    """Points of the search space that a job tried, as columns of equal length, in the order they were tried."""

    hyperparameters: dict[str, list[float]]
    losses: list[float | None]
    """Validation loss of each, nats; None: it diverged."""
    complete: bool
    """True where every point of a full run is there; False where only the point that each outer step reports is known."""


class ComparedJob(Response):
    """One job of a comparison."""

    job: Job
    curve: Curve
    points: Points
    importances: dict[str, float] | None
    """Share of each hyperparameter in being among the best tenth of the points (PED-ANOVA, Watanabe et al. 2023), largest
    first, adding up to 1; None where there are too few points."""


class Difference(Response):
    """One row of a table over jobs."""

    name: str
    """Field of the spec such as ``model.width``, measurement such as ``test loss``, or label of a hyperparameter."""
    kind: Literal["spec", "result", "hyperparameter"]
    values: list[Any]
    """Value of each job, in the order of the jobs; None where a job has none."""


class Comparison(Response):
    """Several jobs side by side, in the order in which they were asked for."""

    items: list[ComparedJob]
    spec: list[Difference]
    """Fields of the specs whose values are not all the same."""
    results: list[Difference]
    """Measurements and cost of each job, and the values that it found."""

    @property
    def names(self) -> list[str]:
        """One name a job that tells it from the others: its own name, and the end of its id where that is not enough."""
        given = [each.job.name or "untitled" for each in self.items]
        return [
            name if given.count(name) == 1 and each.job.name else f"{name} {each.job.id[-8:]}"
            for name, each in zip(given, self.items, strict=True)
        ]


def shown(value: Any) -> str:
    """A value of a table as people read it."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float() | int():
            return number(value)
        case str():
            return value
        case list():
            return ", ".join(shown(each) for each in value) or "none"
        case _:
            return json.dumps(value)
