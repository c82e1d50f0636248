"""What every search of a job works with: the spec, the inner problem, the estimator, the account."""

from collections.abc import Callable
from dataclasses import dataclass

from hpo.account import Account
from hpo.estimators import Estimator
from hpo.evaluation import SeedPath
from hpo.inner import InnerProblem
from hpo.space import Space
from windtunnel.types import JobSpec

SCOUT, MOVE, FINISH, PANEL, SAMPLER, RESPONSE = 0, 1, 2, 3, 4, 5
"""Purpose of a run: the second part of its seed path, so that no two purposes ever share a seed."""


@dataclass(frozen=True)
class Setting:
    """A job as its search sees it."""

    spec: JobSpec
    problem: InnerProblem
    build: Callable[[JobSpec], InnerProblem]
    """The inner problem of a changed spec, on the same data and in the same precision."""
    estimator: Estimator
    population: int
    """Members that plain runs train as one computation, at most."""
    account: Account

    @property
    def space(self) -> Space:
        """The search space."""
        return self.problem.space

    def seeds(self, purpose: int, outer_step: int, count: int) -> list[SeedPath]:
        """Seed paths of the runs of one outer step."""
        return [(self.spec.seed, purpose, outer_step, index) for index in range(count)]

    def shorter(self, steps: int) -> InnerProblem:
        """The same training squeezed into fewer inner steps, with its whole schedule."""
        return self.build(self.spec.model_copy(update={"inner": self.spec.inner.model_copy(update={"steps": steps})}))
